"""How much the aggregator trusts each base model, and how surely."""

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from cfens_stack.display.source import column_names, ensemble_of, new_axes
from cfens_stack.ensemble.aggregator import average_slope, column_weights, even_weights
from cfens_stack.validation import encode_labels


class TrustDisplay:
    """Aggregator weights of the base models with bootstrap intervals.

    Models that say nearly the same share a weight in proportions that the data leave open: a wide
    interval then means "this one or its neighbour", not that the model is bad.

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
        R,
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
            Fitted. Of a pipeline, the meta-learner alone is refitted: pass its `oof_` as R.
        R : array-like of shape (n, m)
        y : array-like of shape (n,)
            What the ensemble was fitted on; rows without a label are drawn among themselves.
        sample_weight : array-like of shape (n,), default=None
        n_bootstrap : int, default=100
            Refits. One takes as long as a fit.
        level : float in (0, 1), default=0.9
            Percentile interval: from quantile (1 - level) / 2 to quantile (1 + level) / 2 of the
            refits.
        names : list of str, default=None
            Names of the columns; None takes those of the data, or numbers.
        random_state : int, RandomState instance or None, default=None
        """
        ensemble, own = ensemble_of(estimator)
        names = column_names(ensemble, own if names is None else names)
        v = (
            np.ones(len(R))
            if sample_weight is None
            else np.asarray(sample_weight, dtype=np.float64)
        )
        rng = check_random_state(random_state)
        _, codes = encode_labels(y)
        draws = [
            column_weights(
                clone(ensemble).fit(R, y, sample_weight=v * bootstrap_counts(codes, rng)).coef_
            )
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
        ax.set_yticks(places, [self.names[u] for u in order])
        ax.set(
            xlabel=f"aggregator weight, {self.level:.0%} bootstrap interval",
            title="Trust in the base models",
        )
        ax.legend(loc="lower right", fontsize=8)
        self.ax_ = ax
        return self


def bootstrap_counts(codes, rng):
    """How often each row is drawn, with replacement within its class: a row drawn twice counts as
    weight 2. (n,).
    """
    counts = np.zeros(len(codes))
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        counts[rows] = rng.multinomial(len(rows), np.full(len(rows), 1.0 / len(rows)))
    return counts
