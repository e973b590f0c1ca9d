"""The leaderboard of a prediction matrix whose models are elsewhere."""

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_array, check_consistent_length

from cfens_stack.ensemble.estimators import CFEnsemble
from cfens_stack.ensemble.layout import find_layout
from cfens_stack.positive_class import positive_class
from cfens_stack.stacking.frames import pandas_for
from cfens_stack.stacking.leaderboard import (
    REFERENCES,
    contender_probabilities,
    missing_shares,
    model_weights,
    out_of_fold_ensemble,
    row_scorer,
)
from cfens_stack.stacking.meta_learner import fit_meta, stated
from cfens_stack.validation import check_groups, check_weights, encode_labels, filled


def score_models(
    R,
    y,
    *,
    names=None,
    layout="auto",
    pos_label=None,
    meta=None,
    scoring=None,
    sample_weight=None,
    groups=None,
):
    """Models, the ensemble and the plain average beside each other, as `StackingPipeline.leaderboard`
    has it, for predictions made elsewhere.

    Parameters
    ----------
    R : array-like of shape (n, m) or (n, m * K)
        Out-of-fold probabilities, one column per model, or one per model and class; NaN where
        missing.
    y : array-like of shape (n,)
        Labels; NaN, None and pandas.NA mark rows without one.
    names : sequence of str, default=None
        Of the columns of R. None: those of a data frame, or numbers.
    layout : {"auto", "positive", "model-major", "class-major"}, default="auto"
        What the columns mean, as for `CFEnsemble`.
    pos_label : label, default=None
        The class whose probability one column per model gives. None: the second one.
    meta : estimator, default=None
        None: `CFEnsemble()`.
    scoring : str or callable, default=None
        As in `StackingPipeline.leaderboard`; None: "neg_log_loss".
    sample_weight, groups : array-like of shape (n,), default=None

    Returns
    -------
    table : pandas.DataFrame
        One row per model and for "ensemble" and "average", sorted by score, with columns `kind`,
        `score`, `low`, `high`, `weight`, `slope` and `missing`.
    """
    pandas = pandas_for("score_models")
    columns = getattr(R, "columns", None) if names is None else names
    R = check_array(filled(R), dtype=np.float64, ensure_all_finite="allow-nan", input_name="R")
    classes, codes = encode_labels(y)
    check_consistent_length(R, codes)
    R, columns = _model_major(R, columns, classes, layout, pos_label)
    m = len(columns)
    weights = check_weights(sample_weight, R, codes, classes)
    metadata = {"sample_weight": weights, "groups": check_groups(groups, R)}
    meta = stated(clone(CFEnsemble() if meta is None else meta), classes)
    params = {} if weights is None else {"sample_weight": weights}
    P = out_of_fold_ensemble(meta, R, codes, classes, params, metadata["groups"])
    fitted = fit_meta(clone(meta), R, codes, classes, params, [])
    scorer = row_scorer(scoring, codes, metadata, classes)
    weight, slope = model_weights(fitted, m)
    notes = {
        "kind": ["base model"] * m + list(REFERENCES[::-1]),
        "weight": [*weight, np.nan, np.nan],
        "slope": [*slope, np.nan, np.nan],
        "missing": [*missing_shares(R, m), *[np.isnan(R).all(axis=1).mean()] * 2],
    }
    index = pandas.Index([*columns, "average", "ensemble"], name="name")
    scores = [scorer.interval(p) for p in contender_probabilities(R, m, len(classes), P)]
    table = pandas.DataFrame(scores, index=index, columns=["score", "low", "high"]).assign(**notes)
    order = ["kind", "score", "low", "high", "weight", "slope", "missing"]
    return table[order].sort_values("score", ascending=False, kind="stable")


def _model_major(R, names, classes, layout, pos_label):
    """R as a stack has it, one column per model or those of its classes together, and the names of
    the models.
    """
    found = find_layout(R, len(classes), layout)
    if found.kind == "scores":
        raise ValueError(
            "The columns are no probabilities of the classes, so models cannot be scored: pass "
            "probabilities, and the layout if it cannot be read off them."
        )
    names = [f"model{u}" for u in range(R.shape[1])] if names is None else list(map(str, names))
    if len(names) != R.shape[1]:
        raise ValueError(f"names has {len(names)} entries, but R has {R.shape[1]} columns.")
    columns, width = found.columns, found.n_outputs
    flipped = pos_label is not None and positive_class(pos_label, classes) == 0
    if found.has_all_classes:
        flipped = False
    if width == 2:  # of two classes the second says it all
        columns, width = columns[1::2], 1
    models = [names[u] for u in columns]
    if width > 1:
        blocks = [models[u : u + width] for u in range(0, len(models), width)]
        models = [_model_name(block, classes) for block in blocks]
    return 1.0 - R[:, columns] if flipped else R[:, columns], models


def _model_name(columns, classes):
    """Name of a model whose columns may be called after it and the classes, "forest_yes"."""
    names = {
        column.removesuffix(str(label)).rstrip("_-. ")
        for column, label in zip(columns, classes, strict=True)
    }
    return names.pop() if len(names) == 1 else columns[0]
