"""How much the aggregator trusts each base model, and how surely."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_consistent_length, check_random_state

from cfens_stack.display.source import (
    column_names,
    ensemble_of,
    new_axes,
    plain,
    predictions_for,
)
from cfens_stack.ensemble.aggregator import average_slope, column_weights, even_weights
from cfens_stack.validation import UNLABELLED, class_codes, row_weights

SAME = 0.01  # relative difference of weights that a refit on the same rows stays below


class TrustDisplay:
    """Aggregator weights of the base models with bootstrap intervals.

    Models that predict nearly the same share a weight in proportions that the data do not
    determine. A wide interval then means "this one or its neighbour", not that the model is bad.

    Parameters
    ----------
    weights : ndarray of shape (m,)
    lower, upper : ndarray of shape (m,)
        Ends of the interval of each weight.
    names : list of str, length m
    average : ndarray of shape (m,), default=None
        The weight that each model has in the average to which weights are shrunk; None for scores,
        which have no such average.
    level : float, default=0.9
        Coverage that the intervals aim at.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by `plot`.
    """

    def __init__(self, *, weights, lower, upper, names, average=None, level=0.9):
        self.weights = weights
        self.lower = lower
        self.upper = upper
        self.names = names
        self.average = average
        self.level = level

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        sample_weight=None,
        *,
        n_bootstrap=100,
        level=0.9,
        names=None,
        random_state=None,
    ):
        """Refit the ensemble on rows drawn with replacement within each class.

        Parameters
        ----------
        estimator : CFEnsemble, trainer, CFEnsembleSearch or StackingPipeline
            Fitted. Of a pipeline the meta-learner alone is refitted, on `oof_`.
        X : array-like of shape (n, p)
            What the estimator was fitted on: of a pipeline features, or its `oof_`; else
            predictions of the base models.
        y : array-like of shape (n,)
            The labels that it was fitted on; rows without a label are drawn among themselves.
        sample_weight : array-like of shape (n,), default=None
            The weights that it was fitted with.
        n_bootstrap : int, default=100
            Refits. One takes as long as a fit.
        level : float in (0, 1), default=0.9
            Percentile interval: from quantile (1 - level) / 2 to quantile (1 + level) / 2 of the
            refits.
        names : list of str, default=None
            Names of the columns; None takes those of the data, or numbers.
        random_state : int, RandomState instance or None, default=None

        Raises
        ------
        ValueError
            If X, y or sample_weight is not what the estimator was fitted on: a refit then gives
            other weights; or if n_bootstrap or level is out of range.
        """
        if not isinstance(n_bootstrap, Integral) or n_bootstrap < 1:
            raise ValueError(f"n_bootstrap={n_bootstrap}: pass an int of at least 1.")
        if not 0 < level < 1:
            raise ValueError(f"level={level}: pass a number between 0 and 1, such as 0.9.")
        ensemble, own = ensemble_of(estimator)
        names = column_names(ensemble, own if names is None else names)
        R = _training_predictions(estimator, X)
        codes = class_codes(y, estimator.classes_)
        check_consistent_length(R, codes)
        v = row_weights(sample_weight, R, codes, estimator.classes_)
        _refuse_other_rows(ensemble, R, codes, v)
        rng = check_random_state(random_state)
        # Rows of weight 0 by themselves: a class of them alone could not be learnt.
        strata = np.where(v > 0, codes, codes.min() - 1)
        draws = [
            _refitted_weights(ensemble, R, codes, v * bootstrap_counts(strata, rng))
            for _ in range(n_bootstrap)
        ]
        lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        layout = ensemble.encoder_.layout
        average = None
        if layout.kind != "scores":
            slopes = ensemble.calibration_slopes_[layout.columns]
            average = np.zeros(len(ensemble.calibration_slopes_))
            average[layout.columns] = even_weights(slopes, layout.n_outputs) * slopes
            average *= average_slope(layout.n_outputs, ensemble.link_)
        weights = column_weights(ensemble.coef_)
        return cls(
            weights=weights, lower=lower, upper=upper, names=names, average=average, level=level
        )

    def plot(self, ax=None):
        """Draw the weights, the largest on top; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : TrustDisplay
        """
        ax = new_axes(ax)
        order = np.argsort(self.weights, kind="stable")
        places = np.arange(len(order))
        ax.axvline(0.0, color="0.85", zorder=0)
        ax.hlines(places, self.lower[order], self.upper[order], color="0.55", linewidth=3)
        ax.plot(self.weights[order], places, "o", color="black", label="weight")
        if self.average is not None:
            ax.plot(
                self.average[order],
                places,
                "|",
                color="black",
                markersize=12,
                label="calibrated average",
            )
        ax.set_yticks(places, [plain(self.names[u]) for u in order])
        ax.set(
            xlabel=f"aggregator weight, {self.level:.0%} bootstrap interval",
            title="Trust in the base models",
        )
        ax.legend(loc="lower right", fontsize=8)
        self.ax_ = ax
        return self


def _training_predictions(estimator, X):
    """The prediction matrix that the ensemble was fitted on."""
    if not hasattr(estimator, "oof_"):
        return predictions_for(estimator, X)[1]
    n, n_fitted = np.shape(X)[0], len(estimator.oof_)
    if n != n_fitted:
        raise ValueError(
            f"X has {n} rows, but the pipeline was fitted on {n_fitted}. The meta-learner is "
            "refitted on the out-of-fold predictions: pass the X and y of fit."
        )
    return estimator.oof_


def _refitted_weights(ensemble, R, codes, v):
    """Weights of the columns after a refit; that a draw leaves a model without predictions is no
    news.
    """
    labels = ensemble.classes_[codes]
    if UNLABELLED in codes:
        labels = np.where(codes == UNLABELLED, None, labels.astype(object))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*have no prediction in any row")
        return column_weights(clone(ensemble).fit(R, labels, sample_weight=v).coef_)


def _refuse_other_rows(ensemble, R, codes, v):
    """Intervals around weights of other rows would say nothing; a refit on the same rows gives the
    same weights.
    """
    weights = column_weights(ensemble.coef_)
    change = np.linalg.norm(_refitted_weights(ensemble, R, codes, v) - weights)
    if change > SAME * np.linalg.norm(weights):
        raise ValueError(
            "A refit on these rows gives other weights than the estimator has: pass the X, y and "
            "sample_weight that it was fitted on, of a pipeline features or its oof_, and the "
            "parameters that it was fitted with."
        )


def bootstrap_counts(codes, rng):
    """How often each row is drawn, with replacement within its class: a row drawn twice counts as
    weight 2. (n,).
    """
    counts = np.zeros(len(codes))
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        counts[rows] = rng.multinomial(len(rows), np.full(len(rows), 1.0 / len(rows)))
    return counts
