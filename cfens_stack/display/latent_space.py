"""The base models in latent space."""

import numpy as np

from cfens_stack.display.source import column_names, ensemble_of, new_axes, plain
from cfens_stack.ensemble.aggregator import column_weights


class LatentSpaceDisplay:
    """The base models in latent space, sized by their weight in the aggregator.

    Models whose predictions move together lie in the same direction from the origin; the distance
    from it is how far they vary.

    Parameters
    ----------
    factors : ndarray of shape (m, 2)
        Two leading latent factors of the columns.
    weights : ndarray of shape (m,)
        Aggregator weight of each column.
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
        """Read the two leading factors and the weights off a fitted estimator.

        Parameters
        ----------
        estimator : CFEnsemble, trainer, CFEnsembleSearch or StackingPipeline
        names : list of str, default=None
            Names of the columns; None takes those of the data, or numbers.
        """
        ensemble, own = ensemble_of(estimator)
        X = ensemble.classifier_factors_
        factors = np.zeros((len(X), 2))
        factors[:, : min(2, X.shape[1])] = X[:, :2]
        names = column_names(ensemble, own if names is None else names)
        return cls(factors=factors, weights=column_weights(ensemble.coef_), names=names)

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
        ax = new_axes(ax)
        sizes = np.abs(self.weights)
        colours = np.where(self.weights < 0, "white", "C0")
        x, y = self.factors.T
        ax.axhline(0.0, color="0.85", zorder=0)
        ax.axvline(0.0, color="0.85", zorder=0)
        areas = 20 + 380 * sizes / (sizes.max() or 1.0)
        ax.scatter(x, y, s=areas, c=colours, alpha=0.6, edgecolor="black", linewidth=0.8)
        span = np.ptp(x) or 1.0
        heights = spread(y)
        for place, name, height in zip(self.factors, self.names, heights, strict=True):
            ax.annotate(
                plain(name),
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
        ax.set(
            xlabel="first latent factor",
            ylabel="second latent factor",
            title="Base models; area: weight, white: below 0",
        )
        self.ax_ = ax
        return self


def spread(heights):
    """Heights of labels, in the order of `heights` but no closer to each other than an even share
    of the range.
    """
    order = np.argsort(heights, kind="stable")
    gap = (np.ptp(heights) or 1.0) / max(len(heights) - 1, 1) * 0.6
    placed = np.empty(len(heights))
    lowest = -np.inf
    for label in order:
        placed[label] = lowest = max(heights[label], lowest + gap)
    return placed - (placed.mean() - np.mean(heights))
