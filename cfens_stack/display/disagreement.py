"""Where the meta-learner decides differently from the plain average, and whether it is right."""

import numpy as np
from sklearn.utils import check_consistent_length

from cfens_stack.display.source import class_probabilities, new_axes, predictions_for
from cfens_stack.validation import class_codes

# The average of certain models may be 0 for the truth, whose log loss would be infinite.
LOWEST = 1e-3


class DisagreementDisplay:
    """Gain of the meta-learner over the plain average of the models, row by row, against their
    disagreement.

    Parameters
    ----------
    disagreement : ndarray of shape (n,)
        Standard deviation of the models' probabilities of the true class.
    gain : ndarray of shape (n,)
        Log loss of the plain average minus that of the meta-learner, probabilities clipped at
        0.001: positive where the meta-learner is nearer to the truth.
    changed : ndarray of bool, shape (n,)
        Rows whose most probable class is not the average's.
    right : ndarray of bool, shape (n,)
        Rows whose most probable class by the meta-learner is the true one.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by `plot`.
    """

    def __init__(self, *, disagreement, gain, changed, right):
        self.disagreement = disagreement
        self.gain = gain
        self.changed = changed
        self.right = right

    @classmethod
    def from_estimator(cls, estimator, X, y):
        """Compare a fitted estimator with the plain average on rows that it was not fitted on.

        Parameters
        ----------
        estimator : CFEnsemble, trainer, CFEnsembleSearch or StackingPipeline
        X : array-like of shape (n, p)
            Of a pipeline the features, for which it predicts; else predictions of the base models,
            NaN where missing. Rows without any prediction are left out.
        y : array-like of shape (n,)
            Class labels; rows without one are left out.
        """
        ensemble, R = predictions_for(estimator, X)
        codes = class_codes(y, estimator.classes_)
        check_consistent_length(R, codes)
        P = class_probabilities(ensemble, R)
        rows = np.flatnonzero((codes >= 0) & np.isfinite(P).all(axis=2).any(axis=1))
        if not len(rows):
            raise ValueError("No row has both a label and a prediction: nothing can be compared.")
        return cls._from_probabilities(P[rows], ensemble.predict_proba(R[rows]), codes[rows])

    @classmethod
    def _from_probabilities(cls, P, p, truth):
        """P (n, m, K) of the models, p (n, K) of the meta-learner, truth (n,) class codes."""
        rows = np.arange(len(truth))
        average = np.nanmean(P, axis=1)
        loss = [-np.log(np.clip(q[rows, truth], LOWEST, 1.0)) for q in (average, p)]
        return cls(
            disagreement=np.nanstd(P[rows, :, truth], axis=1),
            gain=loss[0] - loss[1],
            changed=average.argmax(axis=1) != p.argmax(axis=1),
            right=p.argmax(axis=1) == truth,
        )

    def binned(self, n_bins=8):
        """Mean disagreement, mean gain and its standard error in bins of equally many rows: three
        ndarrays.
        """
        parts = [
            p
            for p in np.array_split(np.argsort(self.disagreement, kind="stable"), n_bins)
            if len(p)
        ]
        gains = [self.gain[part] for part in parts]
        error = [gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0 for gain in gains]
        centre = [self.disagreement[part].mean() for part in parts]
        return np.array(centre), np.array([gain.mean() for gain in gains]), np.array(error)

    def plot(self, ax=None, n_bins=8):
        """Draw the rows and the mean of bins of equally many rows; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        n_bins : int, default=8

        Returns
        -------
        display : DisagreementDisplay
        """
        ax = new_axes(ax)
        same = ~self.changed
        ax.plot(
            self.disagreement[same],
            self.gain[same],
            ".",
            color="0.75",
            markersize=3,
            label="same class",
        )
        for right, marker, word in ((True, "^", "rightly"), (False, "x", "wrongly")):
            rows = self.changed & (self.right == right)
            style = {"color": "black", "markersize": 5, "fillstyle": "none"}
            label = f"class changed {word}: {rows.sum()}"
            ax.plot(self.disagreement[rows], self.gain[rows], marker, label=label, **style)
        centre, mean, error = self.binned(n_bins)
        ax.errorbar(
            centre, mean, yerr=error, fmt="s-", color="0.25", capsize=3, label="mean of equal bins"
        )
        ax.axhline(0.0, color="0.4", linewidth=0.8)
        ax.set_yscale("symlog", linthresh=0.1)
        ax.set(
            xlabel="disagreement of the models about the truth",
            ylabel="log loss saved against the plain average",
        )
        ax.set_title(f"Mean gain {self.gain.mean():+.4f} over {len(self.gain)} rows")
        ax.legend(fontsize=8)
        self.ax_ = ax
        return self
