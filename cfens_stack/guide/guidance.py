"""Decision guide: which settings the method advises for which data, docs/guide.md."""

import textwrap
from dataclasses import dataclass, replace
from html import escape

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import StrOptions, validate_params

from cfens_stack.ensemble.estimators import CFEnsemble
from cfens_stack.ensemble.layout import LAYOUTS, find_layout
from cfens_stack.ensemble.training import imbalanced_below, rarest_share
from cfens_stack.guide import wording
from cfens_stack.guide.measured import MEASURED, SWITCHES
from cfens_stack.guide.wording import (
    FOCAL_GAMMA,
    GUIDES,
    HIGH_DISAGREEMENT,
    LAMBDA_REG,
    LARGEST_RANK,
    TRAINERS,
)
from cfens_stack.positive_class import positive_class
from cfens_stack.validation import encode_labels, filled, row_weights


@dataclass(frozen=True)
class Guidance:
    """What `recommend` measured, and the settings that follow from it.

    `str` and the HTML display draw the tree with the path taken.

    Attributes
    ----------
    n_rows, n_models, n_columns, n_classes : int
        Columns are models, or models times classes.
    imbalance : float
        Share of the rarest class among the labelled rows.
    disagreement : float in [0, 1]
        Share of the predictive variance that lies between models: 0 if all agree, 1 if each is
        certain and they differ. NaN for scores outside [0, 1].
    labelled_share, missing_share : float in [0, 1]
        Of the rows, those with a label; of the cells of R, those without a prediction.
    trainer : {"als", "pytorch"}
        The trainer recommended.
    layout : str, default="auto"
        As given to `recommend`.
    guide : {"published", "measured"}, default="published"
        Which advice `params` gives: the tree of the published method, or what measured best.
    positive_share : float, default=nan
        Share of the positive class among the labelled rows; with several classes, of the last.

    See Also
    --------
    recommend : Makes one.
    """

    n_rows: int
    n_models: int
    n_columns: int
    n_classes: int
    imbalance: float
    disagreement: float
    labelled_share: float
    missing_share: float
    trainer: str
    layout: str = "auto"
    guide: str = "published"
    positive_share: float = float("nan")

    def following(self, guide):
        """The same figures with the advice of another guide, "published" or "measured":
        Guidance.
        """
        if guide not in GUIDES:
            raise ValueError(f"guide={guide!r} is not valid: pass one of {GUIDES}.")
        return replace(self, guide=guide)

    @property
    def is_imbalanced(self):
        """Whether the rarest class has a share below 0.2; with K classes, below 0.4 / K."""
        return self.imbalance < imbalanced_below(self.n_classes)

    @property
    def is_high_disagreement(self):
        """Whether the disagreement reaches the threshold; never for scores."""
        return self.disagreement >= HIGH_DISAGREEMENT

    @property
    def branch(self):
        """Path through the tree, such as ("imbalanced", "low disagreement"): tuple of str."""
        classes = "imbalanced" if self.is_imbalanced else "balanced"
        if np.isnan(self.disagreement):
            return classes, "scores"
        return classes, "high disagreement" if self.is_high_disagreement else "low disagreement"

    @property
    def reasons(self):
        """A sentence for each decision and each measured effect: tuple of str."""
        return wording.reasons(self)

    @property
    def worth(self):
        """What following the advice was worth on real sets, in a sentence: str."""
        return wording.worth(self)

    @property
    def evidence(self):
        """Measured effect of each switch that the advice turns on under `trainer`: dict of str to
        Evidence.

        The advice is that of the published method; `Evidence.verdict` says whether it paid. The
        defaults of `CFEnsemble` follow the evidence.
        """
        params = self.params()
        return {name: MEASURED[self.trainer, name] for name in SWITCHES if params[name]}

    def params(self, trainer=None):
        """Parameters of CFEnsemble.

        Parameters
        ----------
        trainer : {"als", "pytorch"}, default=None
            None for the one recommended.

        Returns
        -------
        params : dict
            The trainer included: `CFEnsemble(**guidance.params("als"))`.
        """
        trainer = self.trainer if trainer is None else trainer
        if trainer not in TRAINERS:
            raise ValueError(
                f"trainer={trainer!r} is not valid: pass 'als', 'pytorch', or None for the "
                "advised one."
            )
        params = {
            "trainer": trainer,
            "latent_dim": min(self.n_columns, LARGEST_RANK),
            "rho": round(1.0 / (1.0 + self.labelled_share), 3),
            "lambda_reg": LAMBDA_REG,
            "use_label_aware_confidence": self.is_imbalanced and trainer == "als",
            "use_class_weights": self.is_imbalanced,
            "focal_gamma": FOCAL_GAMMA if self.is_high_disagreement else 0.0,
        }
        if self.guide == "measured":  # both switches cost, and nothing came of rho by labels
            params |= {"rho": 0.5, "use_class_weights": False, "focal_gamma": 0.0}
        return params if self.layout == "auto" else params | {"layout": self.layout}

    def estimator(self, trainer=None, **overrides):
        """CFEnsemble with the advised parameters, `overrides` replacing some; not fitted yet."""
        return CFEnsemble(**(self.params(trainer) | overrides))

    def __str__(self):
        reasons = (
            textwrap.fill(r, 100, initial_indent="- ", subsequent_indent="  ") for r in self.reasons
        )
        return "\n".join([wording.tree(self), *reasons])

    def _repr_html_(self):
        items = "".join(f"<li>{escape(reason)}</li>" for reason in self.reasons)
        style = (
            "line-height: 1.25; padding: 0.5em; border: 1px solid currentColor; width: max-content"
        )
        tree = f'<pre style="{style}">{escape(wording.tree(self))}</pre>'
        return f'<div class="cfens-summary" style="overflow-x: auto">{tree}<ul>{items}</ul></div>'


@validate_params(
    {
        "layout": [StrOptions(set(LAYOUTS))],
        "prefer": [StrOptions({"speed", "exactness"})],
        "guide": [StrOptions(set(GUIDES))],
    },
    prefer_skip_nested_validation=True,
)
def recommend(
    R, y, sample_weight=None, *, layout="auto", prefer="speed", guide="published", pos_label=None
):
    """Measure predictions and labels, and walk the decision tree of the method.

    Parameters
    ----------
    R : array-like of shape (n, m)
        Out-of-fold probabilities, NaN where missing; columns as `CFEnsemble.fit` takes them.
    y : array-like of shape (n,)
        Class labels; NaN, None and pandas.NA mark rows without one.
    sample_weight : array-like of shape (n,), default=None
        All shares are weighted by it: a row of weight 2 counts as the same row twice.
    layout : {"auto", "positive", "model-major", "class-major", "scores"}, default="auto"
        What the columns of R are, see `CFEnsemble`; if stated, `Guidance.params` passes it on.
    prefer : {"speed", "exactness"}, default="speed"
        "speed" recommends ALS; "exactness", also the choice on a GPU, PyTorch.
    guide : {"published", "measured"}, default="published"
        The tree of the published method, or what measured best on real sets; both say what
        following them was worth.
    pos_label : label, default=None
        The positive class of two, whose share is reported. None: `classes_[1]`.

    Returns
    -------
    Guidance

    Raises
    ------
    ValueError
        For input that `CFEnsemble.fit` refuses: infinite values, no prediction at all, fewer than
        two classes, negative weights, a layout that does not fit.

    Examples
    --------
    >>> from cfens_stack import recommend
    >>> from cfens_stack.datasets import make_predictions
    >>> data = make_predictions(n_samples=600, n_models=12, missing=0.3, random_state=0)
    >>> guidance = recommend(data.R, data.y)
    >>> guidance.branch
    ('imbalanced', 'low disagreement')
    >>> meta = guidance.estimator().fit(data.R, data.y)
    """
    R = check_array(filled(R), dtype=np.float64, ensure_all_finite="allow-nan", input_name="R")
    classes, y = encode_labels(y)
    check_consistent_length(R, y)
    positive = positive_class(pos_label, classes)
    v = row_weights(sample_weight, R, y, classes)
    found = find_layout(R, len(classes), layout)
    R = R[:, found.columns]
    if not np.isfinite(R[v > 0]).any():
        raise ValueError(
            "R has no prediction at all: every cell is NaN, so no model has scored a row."
        )
    return Guidance(
        n_rows=len(R),
        n_models=R.shape[1] // found.n_outputs,
        n_columns=R.shape[1],
        n_classes=len(classes),
        imbalance=rarest_share(y, v),
        disagreement=np.nan if found.kind == "scores" else between_models(R, found.n_outputs, v),
        labelled_share=float(v @ (y >= 0) / v.sum()),
        missing_share=float(v @ np.isnan(R).mean(axis=1) / v.sum()),
        trainer={"speed": "als", "exactness": "pytorch"}[prefer],
        layout=layout,
        guide=guide,
        positive_share=float(v @ (y == positive) / (v @ (y >= 0))),
    )


def between_models(R, n_outputs, v):
    """Share of the predictive variance that lies between models, summed over rows and classes:
    float in [0, 1].

    An outcome drawn from the average prediction of a row has, by the law of total variance, pbar (1
    - pbar) = mean_u r_ui (1 - r_ui) + var_u(r_ui): within and between models. 0 where every
    prediction is 0 or 1 and all agree.
    """
    P = np.clip(R, 0.0, 1.0).reshape(len(R), -1, n_outputs)
    observed = np.isfinite(P)
    count = np.maximum(observed.sum(axis=1), 1)
    mean = np.where(observed, P, 0.0).sum(axis=1) / count
    between = np.where(observed, (P - mean[:, None]) ** 2, 0.0).sum(axis=1) / count
    total = v @ (mean * (1.0 - mean)).sum(axis=1)
    return float(min(v @ between.sum(axis=1) / total, 1.0)) if total > 0.0 else 0.0
