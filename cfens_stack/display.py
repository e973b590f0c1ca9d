"""Pictures of fitted ensembles in scikit-learn's Display style: data first, matplotlib only in `plot`."""

import numpy as np
from sklearn.utils.validation import check_is_fitted


class LatentSpaceDisplay:
    """The base models in latent space, sized by their weight in the aggregator.

    Models whose predictions move together lie in the same direction from the origin; the distance is how far they vary.

    Parameters
    ----------
    factors : ndarray of shape (m, 2)
        Two leading latent factors of the columns.
    weights : ndarray of shape (m,)
        Aggregator weight of each column, in absolute value.
    names : list of str, length m

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by `plot`.
    """

    def __init__(self, *, factors, weights, names):
        self.factors = factors
        self.weights = weights
        self.names = names

    @classmethod
    def from_estimator(cls, estimator, names=None):
        """Read the two leading factors and the weights off a fitted `CFEnsemble` or trainer.

        Parameters
        ----------
        estimator : CFEnsemble, CFEnsembleTrainer or CFEnsemblePyTorchTrainer
        names : list of str, default=None
            Names of the columns; None takes `feature_names_in_`, or numbers.
        """
        check_is_fitted(estimator, "classifier_factors_")
        X = estimator.classifier_factors_
        if names is None:
            names = [str(name) for name in getattr(estimator, "feature_names_in_", range(len(X)))]
        if len(names) != len(X):
            raise ValueError(
                f"names has {len(names)} entries, but the estimator has {len(X)} columns: pass one a column."
            )
        factors = np.zeros((len(X), 2))
        factors[:, : min(2, X.shape[1])] = X[:, :2]
        weights = np.abs(np.atleast_2d(estimator.coef_)).max(axis=0)
        return cls(factors=factors, weights=weights, names=list(names))

    def plot(self, ax=None):
        """Draw the models; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        if ax is None:
            ax = import_pyplot().subplots()[1]
        largest = self.weights.max() or 1.0
        x, y = self.factors.T
        ax.axhline(0.0, color="0.85", zorder=0)
        ax.axvline(0.0, color="0.85", zorder=0)
        ax.scatter(x, y, s=20 + 380 * self.weights / largest, alpha=0.6, edgecolor="black", linewidth=0.8)
        span = np.ptp(x) or 1.0
        heights = spread(y)
        for place, name, height in zip(self.factors, self.names, heights, strict=True):
            ax.annotate(
                name,
                place,
                xytext=(x.max() + 0.12 * span, height),
                va="center",
                fontsize=8,
                arrowprops={"arrowstyle": "-", "color": "0.7", "linewidth": 0.6},
            )
        ax.set_xlim(min(x.min(), 0.0) - 0.1 * span, x.max() + 0.9 * span)
        lowest, highest = min(heights.min(), y.min()), max(heights.max(), y.max())
        margin = 0.1 * (highest - lowest) + 0.05
        ax.set_ylim(lowest - margin, highest + margin)
        ax.set(xlabel="first latent factor", ylabel="second latent factor", title="Base models; area: weight")
        self.ax_ = ax
        return self


def spread(heights):
    """Heights of labels, in the order of `heights` but no closer to each other than an even share of the range."""
    order = np.argsort(heights, kind="stable")
    gap = (np.ptp(heights) or 1.0) / max(len(heights) - 1, 1) * 0.6
    placed = np.empty(len(heights))
    lowest = -np.inf
    for label in order:
        placed[label] = lowest = max(heights[label], lowest + gap)
    return placed - (placed.mean() - np.mean(heights))


def import_pyplot():
    """matplotlib.pyplot, or an ImportError that names the extra."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib, which is not installed: pip install 'cfens_stack[plot]'."
        ) from error
    return pyplot
