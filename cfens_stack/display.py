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
        for place, name in zip(self.factors, self.names, strict=True):
            ax.annotate(name, place, xytext=(5, 4), textcoords="offset points", fontsize=8)
        ax.margins(0.15)
        ax.set(xlabel="first latent factor", ylabel="second latent factor", title="Base models; area: weight")
        self.ax_ = ax
        return self


def import_pyplot():
    """matplotlib.pyplot, or an ImportError that names the extra."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib, which is not installed: pip install 'cfens_stack[plot]'."
        ) from error
    return pyplot
