"""How many base models the answer needs."""

from itertools import pairwise

import numpy as np
from sklearn.utils.validation import check_is_fitted

from cfens_stack.display.source import new_axes, plain


class SelectionPathDisplay:
    """Loss of the ensemble with fewer and fewer base models.

    Parameters
    ----------
    sizes : ndarray of int, shape (p,)
        Number of models of each subset.
    costs : ndarray of shape (p,)
        Their costs; the sizes, if each model costs 1.
    excess, standard_error : ndarray of shape (p,)
        Log loss above that of the best subset, and its standard error.
    leaving : list of list of str, length p
        Models that have left since the subset before.
    chosen : int or None, default=None
        Place of the subset in use.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by `plot`.
    """

    def __init__(self, *, sizes, costs, excess, standard_error, leaving, chosen=None):
        self.sizes = sizes
        self.costs = costs
        self.excess = excess
        self.standard_error = standard_error
        self.leaving = leaving
        self.chosen = chosen

    @classmethod
    def from_path(cls, path, *, names=None, chosen=None):
        """From what `select_models` returns, or `selection_path_` of a pipeline.

        Parameters
        ----------
        path : list of Subset
        names : list of str, default=None
            Names of the models, where the path has numbers.
        chosen : Subset, default=None
            The one to mark.
        """
        if not path:
            raise ValueError("path is empty: pass what select_models returns.")
        named = [
            [str(model if names is None else names[model]) for model in subset.models]
            for subset in path
        ]
        leaving = [
            [],
            *([name for name in a if name not in b] for a, b in pairwise(named)),
        ]
        return cls(
            sizes=np.array([len(models) for models in named]),
            costs=np.array([subset.cost for subset in path]),
            excess=np.array([subset.excess for subset in path]),
            standard_error=np.array([subset.standard_error for subset in path]),
            leaving=leaving,
            chosen=None if chosen is None else path.index(chosen),
        )

    @classmethod
    def from_estimator(cls, stack):
        """From a `StackingPipeline` whose models were chosen by `select`, `max_models` or
        `max_predict_time`.
        """
        check_is_fitted(stack, "meta_")
        if not hasattr(stack, "selection_path_"):
            raise ValueError(
                "No models of this pipeline were chosen: call select(), or pass max_models= or "
                "max_predict_time=."
            )
        kept = set(stack.model_names_)
        chosen = [subset for subset in stack.selection_path_ if set(subset.models) == kept]
        return cls.from_path(stack.selection_path_, chosen=chosen[0] if chosen else None)

    def plot(self, ax=None):
        """Draw the path, the largest subset on the left; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : SelectionPathDisplay
        """
        ax = new_axes(ax)
        counted = np.array_equal(self.sizes, self.costs)
        x = self.sizes if counted else self.costs
        ax.axhline(0.0, color="0.85", zorder=0)
        ax.errorbar(
            x,
            self.excess,
            yerr=self.standard_error,
            fmt="o-",
            color="0.3",
            ecolor="0.6",
            capsize=3,
            markersize=4,
            label="excess, with one standard error",
        )
        for place, height, models in zip(x, self.excess, self.leaving, strict=True):
            word = f"− {models[0]}" if len(models) == 1 else f"− {len(models)} models"
            if models:
                ax.annotate(
                    plain(word),
                    (place, height),
                    xytext=(3, 6),
                    textcoords="offset points",
                    rotation=60,
                    fontsize=7,
                )
        if self.chosen is not None:
            style = {"color": "black", "fillstyle": "none", "markersize": 12}
            label = f"in use: {self.sizes[self.chosen]} models"
            ax.plot(x[self.chosen], self.excess[self.chosen], "s", label=label, **style)
        ax.invert_xaxis()
        if counted:
            ax.locator_params(axis="x", integer=True)
        ax.margins(x=0.1, y=0.3)
        ax.set(
            xlabel="base models" if counted else "cost of the base models (seconds to predict)",
            ylabel="log loss above the best",
            title="As few models as the answer needs",
        )
        ax.legend(fontsize=8)
        self.ax_ = ax
        return self
