"""Decision guide: which settings the method advises for which data, section 4 of the design."""

import textwrap
from dataclasses import dataclass
from html import escape

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import StrOptions, validate_params

from cfens_stack.ensemble.estimators import CFEnsemble
from cfens_stack.ensemble.layout import LAYOUTS, find_layout
from cfens_stack.ensemble.training import imbalanced_below, rarest_share
from cfens_stack.guide.measured import MEASURED, SWITCHES
from cfens_stack.validation import encode_labels, row_weights

HIGH_DISAGREEMENT = 0.28  # upper quartile of real sets with the default pool; docs/guide.md
FOCAL_GAMMA = 2.0
LAMBDA_REG = 0.01
LARGEST_RANK = 32  # of the advice: a sweep costs the square of the rank a cell
TRAINERS = {"als": "ALS", "pytorch": "PyTorch"}


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
        return (
            self._imbalance_reason(),
            self._disagreement_reason(),
            TRAINER_REASONS[self.trainer],
            self._rank_reason(),
            self._rho_reason(),
            *(
                f"Measured on real sets, {SWITCHES[name]} alone, {effect}."
                for name, effect in self.evidence.items()
            ),
        )

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
        return params if self.layout == "auto" else params | {"layout": self.layout}

    def estimator(self, trainer=None, **overrides):
        """CFEnsemble with the advised parameters, `overrides` replacing some; not fitted yet."""
        return CFEnsemble(**(self.params(trainer) | overrides))

    def __str__(self):
        reasons = (
            textwrap.fill(r, 100, initial_indent="- ", subsequent_indent="  ") for r in self.reasons
        )
        return "\n".join([self._tree(), *reasons])

    def _repr_html_(self):
        items = "".join(f"<li>{escape(reason)}</li>" for reason in self.reasons)
        style = (
            "line-height: 1.25; padding: 0.5em; border: 1px solid currentColor; width: max-content"
        )
        tree = f'<pre style="{style}">{escape(self._tree())}</pre>'
        return f'<div class="cfens-summary" style="overflow-x: auto">{tree}<ul>{items}</ul></div>'

    def _tree(self):
        """Each question with its answers; "==>" leads along the path taken."""
        below = imbalanced_below(self.n_classes)
        questions = [
            (
                f"rarest class {self.imbalance:.1%}: below {below:.1%}?",
                "class weights, under ALS label-aware confidence too",
                "neither class weights nor label-aware confidence",
                self.is_imbalanced,
            ),
            (
                f"disagreement {self.disagreement:.2f}: at least {HIGH_DISAGREEMENT:g}?",
                f"focal loss, focal_gamma={FOCAL_GAMMA:g}",
                "log loss, focal_gamma=0",
                self.is_high_disagreement,
            ),
            (
                "exactness before speed, or a GPU?",
                "trainer='pytorch'",
                "trainer='als'",
                self.trainer == "pytorch",
            ),
        ]
        lines = [
            f"Guidance for {self.n_models} models, {self.n_rows} rows, {self.n_classes} classes, "
            f"{self.labelled_share:.0%} of the rows labelled, {self.missing_share:.0%} of the "
            "cells missing"
        ]
        for question, yes, no, answer in questions:
            lines += [
                question,
                f"  |{'==> YES' if answer else '--- yes'}  {yes}",
                f"  |{'--- no ' if answer else '==> NO '}  {no}",
                "  v",
            ]
        settings = ", ".join(f"{name}={value!r}" for name, value in self.params().items())
        return "\n".join(
            [*lines, textwrap.fill(f"CFEnsemble({settings})", 100, subsequent_indent=" " * 11)]
        )

    def _imbalance_reason(self):
        below = imbalanced_below(self.n_classes)
        figures = f"The rarest of {self.n_classes} classes has {self.imbalance:.1%} of the labels"
        if self.is_imbalanced:
            return (
                f"{figures}, below {below:.1%}: class weights make it count as much as the "
                "others; under ALS, which has no gradient to carry them to the factors, "
                "label-aware confidence stands in."
            )
        return f"{figures}, not below {below:.1%}: no class weights."

    def _disagreement_reason(self):
        if np.isnan(self.disagreement):
            return "The columns are scores, whose disagreement has no scale: log loss."
        figures = f"{self.disagreement:.2f} of the predictive variance lies between models"
        if self.is_high_disagreement:
            return f"{figures}, {HIGH_DISAGREEMENT:g} or more: focal loss turns the aggregator to the contested rows."
        return f"{figures}, less than {HIGH_DISAGREEMENT:g}: log loss."

    def _rank_reason(self):
        rank = min(self.n_columns, LARGEST_RANK)
        if rank < self.n_columns:
            return f"latent_dim={rank} of {self.n_columns} columns keeps sweeps cheap; raise it if time allows."
        return (
            f"Full rank, latent_dim={rank}, with lambda_reg={LAMBDA_REG:g}: lower ranks predicted "
            "worse, on complete and on incomplete predictions."
        )

    def _rho_reason(self):
        if self.labelled_share == 1.0:
            return "Every row is labelled: reconstruction and supervision weigh the same, rho=0.5."
        return (
            f"{self.labelled_share:.1%} of the rows are labelled: rho={self.params()['rho']:g} "
            "lets a labelled row weigh as much in supervision as any row in reconstruction."
        )


TRAINER_REASONS = {
    "als": "ALS, for speed: closed-form sweeps, in numpy alone.",
    "pytorch": "PyTorch, for exactness: gradients carry the loss to every parameter, on the CPU or a GPU.",
}


@validate_params(
    {"layout": [StrOptions(set(LAYOUTS))], "prefer": [StrOptions({"speed", "exactness"})]},
    prefer_skip_nested_validation=True,
)
def recommend(R, y, sample_weight=None, *, layout="auto", prefer="speed"):
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
    R = check_array(R, dtype=np.float64, ensure_all_finite="allow-nan", input_name="R")
    classes, y = encode_labels(y)
    check_consistent_length(R, y)
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
