"""Reliability diagram before and after the posterior correction, equation (7)."""

from collections.abc import Mapping
from copy import copy
from itertools import cycle

import numpy as np
from sklearn.calibration import CalibrationDisplay, calibration_curve
from sklearn.metrics import log_loss
from sklearn.utils import check_consistent_length

from cfens_stack.display.source import new_axes, predictions_for
from cfens_stack.validation import class_codes, filled

STYLES = ("s--", "o-", "^:", "d-.")


class ReliabilityDisplay:
    """Share of a class among rows of similar probability, against that probability, for several
    predictions.

    Parameters
    ----------
    curves : dict of str to (ndarray, ndarray)
        For each prediction the share of the class and the mean probability in each bin, as
        `sklearn.calibration.calibration_curve` returns them.
    probabilities : dict of str to ndarray of shape (n,)
    log_losses : dict of str to float

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by `plot`.
    """

    def __init__(self, *, curves, probabilities, log_losses):
        self.curves = curves
        self.probabilities = probabilities
        self.log_losses = log_losses

    @classmethod
    def from_estimator(cls, estimator, X, y, *, pos_label=None, n_bins=10, strategy="quantile"):
        """Probabilities as trained and at the training prevalence, on rows that the estimator was
        not fitted on.

        Without class weights and focal loss the two are the same.

        Parameters
        ----------
        estimator : CFEnsemble, trainer, CFEnsembleSearch or StackingPipeline
        X : array-like of shape (n, p)
            Of a pipeline the features, for which it predicts; else predictions of the base models,
            NaN where missing.
        y : array-like of shape (n,)
            Class labels; rows without one are left out.
        pos_label : label, default=None
            The class whose probability is shown; None: the second of two. More than two need it.
        n_bins, strategy
            See `sklearn.calibration.calibration_curve`; "quantile" bins hold equally many rows,
            which suits rare classes.
        """
        ensemble, R = predictions_for(estimator, X)
        classes = estimator.classes_
        if pos_label is None:
            if len(classes) > 2:
                raise ValueError(
                    f"There are {len(classes)} classes: pass pos_label, one of {classes.tolist()}."
                )
            pos_label = classes[1]
        if pos_label not in classes.tolist():
            raise ValueError(
                f"pos_label={pos_label!r} is not a class: pass one of {classes.tolist()}."
            )
        column = classes.tolist().index(pos_label)
        codes = class_codes(y, classes)
        check_consistent_length(R, codes)
        R, codes = R[codes >= 0], codes[codes >= 0]
        words = {"weighted": "as trained", "natural": "at the training prevalence"}
        probabilities = {
            word: copy(ensemble).set_params(posterior=posterior).predict_proba(R)[:, column]
            for posterior, word in words.items()
        }
        return cls.from_predictions(
            codes == column, probabilities, n_bins=n_bins, strategy=strategy
        )

    @classmethod
    def from_predictions(cls, y, probabilities, *, n_bins=10, strategy="quantile"):
        """Curves of given probabilities.

        Parameters
        ----------
        y : array-like of shape (n,)
            True or 1 where the row is of the class.
        probabilities : dict of str to array-like of shape (n,)
            Predictions by name.
        n_bins, strategy
            See `sklearn.calibration.calibration_curve`.
        """
        y = np.asarray(filled(y))
        # As objects: numpy 1 warns where text is compared with numbers.
        if not np.isin(y.astype(object), [0, 1]).all():
            raise ValueError(
                "y holds values other than True, False, 1 and 0: pass where the rows are of the "
                "class, such as y == 'fraud'."
            )
        y = y.astype(int)
        if not isinstance(probabilities, Mapping) or not probabilities:
            raise ValueError(
                "probabilities has no name for its curves: pass a dict such as {'ensemble': p}."
            )
        probabilities = {
            name: np.asarray(filled(p), dtype=np.float64) for name, p in probabilities.items()
        }
        curves = {
            name: calibration_curve(y, p, n_bins=n_bins, strategy=strategy)
            for name, p in probabilities.items()
        }
        losses = {name: float(log_loss(y, p, labels=[0, 1])) for name, p in probabilities.items()}
        return cls(curves=curves, probabilities=probabilities, log_losses=losses)

    def plot(self, ax=None):
        """Draw scikit-learn's calibration curves into one picture; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : ReliabilityDisplay
        """
        ax = new_axes(ax)
        for (name, (share, mean)), style in zip(self.curves.items(), cycle(STYLES), strict=False):
            label = f"{name}, log loss {self.log_losses[name]:.4f}"
            shown = CalibrationDisplay(share, mean, self.probabilities[name], estimator_name=label)
            line = {
                "marker": style[0],
                "linestyle": style[1:],
                "color": "black",
                "fillstyle": "none",
            }
            shown.plot(ax=ax, name=label, ref_line=False, **line)
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        ax.set(
            xlabel="mean probability in the bin", ylabel="share of the class", title="Reliability"
        )
        ax.legend(fontsize=8)
        self.ax_ = ax
        return self
