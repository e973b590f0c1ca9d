"""Predictions beside what the factorisation makes of them, missing cells marked."""

import numpy as np

from cfens_stack.display.source import new_axes, predictions_for
from cfens_stack.validation import filled

MISSING_AT = -0.06  # left of every probability


class ReconstructionDisplay:
    """Reconstruction of each cell against its prediction, missing cells marked.

    The distance from the diagonal is what the factorisation treats as noise of the single model.
    Missing cells are drawn in a strip on the left, or at their true predictions where these are
    known because they were hidden for a test.

    Parameters
    ----------
    predicted : ndarray of shape (n, m)
        Predictions, NaN where missing and unknown.
    reconstructed : ndarray of shape (n, m)
    missing : ndarray of bool, shape (n, m)
        Cells that the factorisation had to fill.

    Attributes
    ----------
    rmse_observed, rmse_missing : float
        Root mean square difference on the scale of R; NaN where nothing can be compared.
    ax_ : matplotlib Axes
        Set by `plot`.
    """

    def __init__(self, *, predicted, reconstructed, missing):
        self.predicted = predicted
        self.reconstructed = reconstructed
        self.missing = missing
        self.rmse_observed = root_mean_square((predicted - reconstructed)[~missing])
        self.rmse_missing = root_mean_square((predicted - reconstructed)[missing])

    @classmethod
    def from_estimator(cls, estimator, X, R_complete=None):
        """Reconstruct predictions with a fitted estimator.

        Parameters
        ----------
        estimator : CFEnsemble, trainer, CFEnsembleSearch or StackingPipeline
        X : array-like of shape (n, p)
            Of a pipeline the features, for which it predicts, or its `oof_`; else predictions of
            the base models, NaN where missing.
        R_complete : array-like of shape (n, m), default=None
            The predictions with the missing cells known, to see how well they are filled.
        """
        ensemble, R = predictions_for(estimator, X)
        predicted = R if R_complete is None else np.asarray(filled(R_complete), dtype=np.float64)
        if predicted.shape != R.shape:
            raise ValueError(
                f"R_complete has shape {predicted.shape}, but the predictions have {R.shape}: pass "
                "the same cells."
            )
        seen = np.isfinite(R)
        if not np.allclose(predicted[seen], R[seen]):
            raise ValueError(
                "R_complete differs from the predictions where these are not missing: pass the same "
                "rows and columns, with the missing cells known."
            )
        return cls(predicted=predicted, reconstructed=ensemble.reconstruct(R), missing=~seen)

    def plot(self, ax=None, max_cells=5000):
        """Draw the cells; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        max_cells : int, default=5000
            Of larger matrices every k-th cell of a kind is drawn.

        Returns
        -------
        display : ReconstructionDisplay
        """
        ax = new_axes(ax)
        x, y = np.where(np.isnan(self.predicted), MISSING_AT, self.predicted), self.reconstructed
        kinds = [
            ("observed", ~self.missing, "o", "0.6", self.rmse_observed),
            ("missing", self.missing, "x", "black", self.rmse_missing),
        ]
        for name, cells, marker, shade, rmse in kinds:
            count = int(cells.sum())
            if count:
                shown = np.flatnonzero(cells)[:: -(-count // max_cells)]
                label = f"{name}, {count} cells" + ("" if np.isnan(rmse) else f", RMSE {rmse:.3f}")
                ax.plot(
                    x.flat[shown], y.flat[shown], marker, color=shade, markersize=4, label=label
                )
        ends = [np.nanmin(y), np.nanmax(y)]
        ax.plot(ends, ends, color="black", linewidth=0.8, linestyle="--")
        ax.set(xlabel="prediction", ylabel="reconstruction", title="What the factorisation keeps")
        ax.legend(fontsize=8)
        self.ax_ = ax
        return self


def root_mean_square(differences):
    """Over the finite ones; NaN where there is none."""
    finite = differences[np.isfinite(differences)]
    return float(np.sqrt(np.mean(finite**2))) if len(finite) else float("nan")
