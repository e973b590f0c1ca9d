"""What each base model adds to the log-odds: of one row, or of many."""

import numpy as np
from scipy.special import expit

from cfens_stack.display.source import ensemble_of, new_axes, plain, predictions_for


class ContributionsDisplay:
    """Contributions of the base models to the log-odds of rows.

    Parameters
    ----------
    contributions : ndarray of shape (n, m)
    intercept : ndarray of shape (n,)
    missing : ndarray of bool, shape (n, m)
        Where a model has no prediction.
    names : list of str, length m
    label : str
        The class whose log-odds they are.
    is_logit : bool, default=True
        Whether the sum is the log-odds against one other class, so that it stands for a probability.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by `plot`.
    """

    def __init__(self, *, contributions, intercept, missing, names, label, is_logit=True):
        self.contributions = contributions
        self.intercept = intercept
        self.missing = missing
        self.names = names
        self.label = label
        self.is_logit = is_logit

    @classmethod
    def from_estimator(cls, estimator, X, *, label=None, names=None):
        """Contributions of a fitted estimator for rows.

        Parameters
        ----------
        estimator : CFEnsemble, trainer, CFEnsembleSearch or StackingPipeline
        X : array-like of shape (n, p)
            Of a pipeline the features, for which it predicts, or its `oof_`; else predictions of
            the base models, NaN where missing.
        label : label, default=None
            The class, of more than two. Of two it is `classes_[1]`.
        names : list of str, default=None
            Names of the m models; None takes those of the pipeline or of the data, or numbers.

        Raises
        ------
        ValueError
            If there are more than two classes and `label` is none of them.
        """
        own = ensemble_of(estimator)[1]
        ensemble, R = predictions_for(estimator, X)
        parts, intercept = ensemble.contributions(R, return_intercept=True)
        classes, is_logit = estimator.classes_.tolist(), parts.ndim == 2
        if is_logit:
            label = classes[1]
        elif label not in classes:
            raise ValueError(f"label={label!r}: pass one of the classes, {classes}.")
        else:
            k = classes.index(label)
            parts, intercept = parts[:, :, k], intercept[:, k]
        m = parts.shape[1]
        return cls(
            contributions=parts,
            intercept=intercept,
            missing=_missing_models(ensemble, R, m),
            names=_model_names(estimator, names, own, m),
            label=str(label),
            is_logit=is_logit,
        )

    def plot(self, ax=None, *, row=None, max_models=20):
        """Draw one row, or the distribution over all of them; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        row : int, default=None
            Which of the n rows; None draws all.
        max_models : int, default=20
            Models with a line of their own, those that matter most; of the others it is the sum.

        Returns
        -------
        display : ContributionsDisplay
        """
        ax = new_axes(ax)
        if row is None:
            self._plot_rows(ax, max_models)
        else:
            self._plot_row(ax, row, max_models)
        self.ax_ = ax
        return self

    def _plot_row(self, ax, row, max_models):
        """Bars from the intercept to the log-odds of the row, one model after another."""
        parts, names = self._ordered(self.contributions[[row]], max_models)
        parts, gone = parts[0], dict(zip(self.names, self.missing[row], strict=True))
        ends = self.intercept[row] + np.cumsum(parts)
        places = np.arange(len(parts))[::-1]
        for place, part, end in zip(places, parts, ends, strict=True):
            fill = "0.45" if part > 0 else "white"  # hollow: against the class
            ax.barh(place, part, left=end - part, color=fill, edgecolor="black", height=0.6)
            ax.annotate(
                f"{part:+.2f}",
                (max(end, end - part), place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # over the lines
            )
        ax.axvline(self.intercept[row], color="0.6", linestyle=":", label="intercept")
        total = ends[-1]
        ax.axvline(total, color="black", linestyle="--", label="all models")
        labels = [f"{name} (missing)" if gone.get(name) else name for name in names]
        ax.set_yticks(places, [plain(label) for label in labels])
        chance = f", probability {expit(total):.3f}" if self.is_logit else ""
        ax.set(xlabel=self._axis, title=f"Row {row}: {total:+.2f}{chance}")
        ax.use_sticky_edges = False  # else the first bar begins at the edge
        ax.margins(x=0.12)
        ax.legend(fontsize=8)

    def _plot_rows(self, ax, max_models):
        """Median, middle half and middle nine tenths of each model's contributions."""
        parts, names = self._ordered(self.contributions, max_models)
        missing = dict(zip(self.names, self.missing.mean(axis=0), strict=True))
        places = np.arange(len(names))[::-1]
        low, first, median, third, high = np.quantile(parts, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        ax.axvline(0.0, color="0.85", zorder=0)
        ax.hlines(places, low, high, color="0.4", linewidth=1, label="nine tenths of the rows")
        ax.hlines(places, first, third, color="0.4", linewidth=6, label="half of the rows")
        ax.plot(median, places, "|", color="black", markersize=14, label="median")
        ax.plot(
            np.abs(parts).mean(axis=0),
            places,
            "o",
            color="black",
            fillstyle="none",
            label="mean size",
        )
        shares = [missing.get(name, 0.0) for name in names]
        labels = [
            f"{name} ({share:.0%} missing)" if share > 0 else name
            for name, share in zip(names, shares, strict=True)
        ]
        ax.set_yticks(places, [plain(label) for label in labels])
        ax.set(xlabel=self._axis, title=f"Contributions in {len(parts)} rows")
        ax.legend(loc="lower right", fontsize=8)

    @property
    def _axis(self):
        return plain(
            f"log-odds of {self.label!r}"
            if self.is_logit
            else f"log-probability of {self.label!r}, centred"
        )

    def _ordered(self, parts, max_models):
        """Contributions and names of the models that matter most, and the sum of the others."""
        order = np.argsort(-np.abs(parts).mean(axis=0), kind="stable")
        shown, others = order[:max_models], order[max_models:]
        names = [self.names[u] for u in shown]
        if not len(others):
            return parts[:, shown], names
        rest = parts[:, others].sum(axis=1, keepdims=True)
        return np.hstack([parts[:, shown], rest]), [*names, f"{len(others)} others"]


def _missing_models(ensemble, R, m):
    """Where a model has no prediction for any class: (n, m)."""
    layout = ensemble.encoder_.layout
    gone = np.isnan(R[:, layout.columns]).reshape(len(R), -1, layout.n_outputs).all(axis=2)
    if gone.shape[1] == m:
        return gone
    missing = np.ones((len(R), m), dtype=bool)  # columns without any prediction in the fit
    missing[:, layout.columns] = gone
    return missing


def _model_names(estimator, names, own, m):
    if names is None:
        names = getattr(estimator, "model_names_", own)
    if names is None:
        names = getattr(estimator, "feature_names_in_", range(m))
        names = names if len(names) == m else range(m)
    if len(names) != m:
        raise ValueError(f"names has {len(names)} entries, but there are {m} models.")
    return [str(name) for name in names]
