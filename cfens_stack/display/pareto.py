"""Two scores of a search against each other."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from cfens_stack.display.source import new_axes


class ParetoDisplay:
    """The completed trials of a search by two of its scores, the Pareto front joined by a line.

    Parameters
    ----------
    values : ndarray of shape (n_trials, 2)
        Scores of the completed trials, greater is better.
    front : ndarray of bool, shape (n_trials,)
        Which of them no other beats in every score searched by.
    selected : ndarray of bool, shape (n_trials,)
    names : tuple of two str

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by `plot`.
    """

    def __init__(self, *, values, front, selected, names):
        self.values = values
        self.front = front
        self.selected = selected
        self.names = names

    @classmethod
    def from_estimator(cls, search, aims=(0, 1)):
        """Read the trials off a fitted search by several scores.

        Parameters
        ----------
        search : CFEnsembleSearch
        aims : tuple of two int, default=(0, 1)
            Places in `scoring` of the scores to draw.
        """
        check_is_fitted(search, "study_")
        if len(search.aims_) < 2:
            raise ValueError(
                f"The search is by {search.aims_[0]!r} alone: a picture of the Pareto front needs "
                "two, scoring=('average_precision', 'neg_log_loss') for one."
            )
        trials = [trial for trial in search.study_.trials if trial.state.name == "COMPLETE"]
        numbers = np.array([trial.number for trial in trials])
        on_front = [trial.number for trial in search.study_.best_trials]
        return cls(
            values=np.array([[trial.values[aim] for aim in aims] for trial in trials]),
            front=np.isin(numbers, on_front),
            selected=np.isin(numbers, search.selected_trials_),
            names=tuple(search.aims_[aim] for aim in aims),
        )

    def plot(self, ax=None):
        """Draw a point per trial; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        self : object
        """
        ax = new_axes(ax)
        others = self.values[~self.front]
        front = self.values[self.front]
        front = front[np.lexsort(front.T[::-1])]
        ax.plot(*others.T, "x", color="0.6", label="trials")
        ax.plot(*front.T, "o-", color="0.2", label="Pareto front")
        ax.plot(
            *self.values[self.selected].T, "s", color="0", fillstyle="none", ms=12, label="selected"
        )
        ax.set(xlabel=self.names[0], ylabel=self.names[1])
        ax.legend()
        self.ax_ = ax
        return self
