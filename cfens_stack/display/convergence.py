"""How the objective and its parts decreased."""

import numpy as np

from cfens_stack.display.source import ensemble_of, new_axes

STYLES = {
    "objective": "o-",
    "reconstruction": "s--",
    "supervision": "^:",
    "completion": "v-.",
}


class ConvergenceDisplay:
    """The objective and its parts by step of the training, each above the lowest value it reached.

    Under ALS reconstruction has a point before each sweep and one after the last. Supervision has
    one for each step of the aggregator, which comes afterwards.

    Parameters
    ----------
    history : dict of str to ndarray
        Values of each part by step, as in `history_`.
    converged : bool

    Attributes
    ----------
    excess : dict of str to ndarray
        (value - lowest) / abs(lowest); parts without a value are left out.
    ax_ : matplotlib Axes
        Set by `plot`.
    """

    def __init__(self, *, history, converged):
        self.history = history
        self.converged = converged
        self.excess = {
            part: (values - values.min()) / max(abs(values.min()), np.finfo(float).tiny)
            for part, values in history.items()
            if len(values)
        }

    @classmethod
    def from_estimator(cls, estimator):
        """Read `history_` off a fitted estimator.

        Parameters
        ----------
        estimator : CFEnsemble, trainer, CFEnsembleSearch or StackingPipeline
        """
        ensemble, _ = ensemble_of(estimator)
        return cls(history=dict(ensemble.history_), converged=ensemble.converged_)

    def plot(self, ax=None):
        """Draw one line per part on a log scale, without the lowest value itself; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : ConvergenceDisplay
        """
        ax = new_axes(ax)
        for part, excess in self.excess.items():
            steps = np.arange(1, len(excess) + 1)
            shown = excess > 0
            label = f"{part}, {self.history[part].min():.4g} at best"
            ax.plot(
                steps[shown],
                excess[shown],
                STYLES.get(part, "d-."),
                color="black",
                markersize=4,
                label=label,
            )
        if any((excess > 0).any() for excess in self.excess.values()):
            ax.set_yscale("log")
        ax.xaxis.get_major_locator().set_params(integer=True)
        state = "converged" if self.converged else "NOT converged"
        ax.set(
            xlabel="step",
            ylabel="relative distance to the lowest value",
            title=f"Training, {state}",
        )
        ax.legend(fontsize=8)
        self.ax_ = ax
        return self
