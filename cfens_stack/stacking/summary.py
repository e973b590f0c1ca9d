"""What a fitted pipeline shows of itself in a notebook."""

import textwrap

import numpy as np

from cfens_stack.html import Bar, folded, paragraph, plural, table
from cfens_stack.stacking.failures import where
from cfens_stack.stacking.leaderboard import class_probabilities, missing_shares, model_weights
from cfens_stack.validation import UNLABELLED

HEADING = ["base model", "log loss", "weight", "slope", "missing", "fit s", "predict s"]
LONGEST = 160  # characters of a reason


def pipeline_summary(pipeline, data):
    """Of a fitted StackingPipeline: a line on the fit, the base models by their out-of-fold log
    loss, and what went wrong, grouped by model.

    Parameters
    ----------
    pipeline : StackingPipeline
    data : FitData or None
        What the fit kept; None for one that only serves.
    """
    oof = getattr(pipeline, "oof_", None)  # for_serving() leaves it out
    meta = getattr(pipeline.meta_, "best_estimator_", pipeline.meta_)
    seconds = sum(pipeline.fit_times_.values()) + sum(pipeline.predict_times_.values())
    parts = [
        "for serving" if oof is None else f"{len(oof)} rows",
        plural(len(pipeline.model_names_), "base model"),
        f"meta-learner {type(meta).__name__}",
        f"{seconds:.3g} s of fits and predictions",
    ]
    html = paragraph(", ".join(parts)) + table(HEADING, rows_of_models(pipeline, oof, data))
    failures = [(f.model, f.fold, f.error_type, f.reason) for f in pipeline.failures_]
    warned = [
        (w.model, w.fold, w.category, f"{w.category}: {w.message}") for w in pipeline.warnings_
    ]
    return (
        html
        + grouped("failure", failures, "failures_", unfolded=True)
        + grouped("warning", warned, "warnings_", unfolded=False)
    )


def rows_of_models(pipeline, oof, data):
    """Cells of a row for each base model, the lowest out-of-fold log loss first; without `oof` the
    largest weight first.
    """
    names = pipeline.model_names_
    m = len(names)
    weights, slopes = model_weights(pipeline.meta_, m)
    if oof is None:
        losses, missing, order = np.full(m, np.nan), ["-"] * m, np.argsort(-weights, kind="stable")
    else:
        sample_weight = data.metadata.get("sample_weight")
        losses = log_losses(oof, data.y, len(pipeline.classes_), sample_weight)
        missing = [f"{share:.1%}" for share in missing_shares(oof, m)]
        order = np.argsort(losses, kind="stable")  # NaN comes last
    largest = np.abs(weights).max()
    return [
        (
            names[u],
            number(losses[u], ".4f"),
            Bar(weights[u], largest) if np.isfinite(largest) else "-",
            number(slopes[u], ".2f"),
            "lost" if pipeline.named_estimators_[names[u]] is None else missing[u],
            f"{pipeline.fit_times_[names[u]]:.2f}",
            f"{pipeline.predict_times_[names[u]]:.2f}",
        )
        for u in order
    ]


def log_losses(oof, y, n_classes, sample_weight=None):
    """Log loss of each model's out-of-fold predictions, over the labelled rows that it predicted.

    Parameters
    ----------
    oof : ndarray of shape (n, m) or (n, m * K)
    y : ndarray of int, shape (n,)
        Class codes, -1 without a label.
    n_classes : int
    sample_weight : ndarray of shape (n,) or None

    Returns
    -------
    ndarray of shape (m,)
        NaN for a model without such a row.
    """
    labelled = np.flatnonzero(y != UNLABELLED)
    p = class_probabilities(oof, n_classes)[labelled, :, y[labelled]]
    loss = -np.log(np.maximum(p, np.finfo(float).eps))
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    weight = np.where(np.isfinite(loss), weight[labelled, None], 0.0)
    with np.errstate(invalid="ignore"):
        return np.nansum(weight * loss, axis=0) / weight.sum(axis=0)


def number(value, form):
    """A number as text, a hyphen for NaN."""
    return format(value, form) if np.isfinite(value) else "-"


def grouped(word, records, attribute, unfolded):
    """A block with a row for each model and kind of failure or warning; empty without any.

    Parameters
    ----------
    word : str
    records : list of (str, int or None, str, str)
        Model, fold, kind and text.
    attribute : str
        Where each stands in full.
    unfolded : bool
    """
    groups: dict[tuple[str, str], list[tuple]] = {}
    for record in records:
        groups.setdefault((record[0], record[2]), []).append(record)
    if not groups:
        return ""
    rows = []
    for (model, _), same in groups.items():
        places = dict.fromkeys(where(record[1]) for record in same)
        reason = textwrap.shorten(same[0][3], LONGEST, placeholder=" ...")
        rows.append((model, ", ".join(places), reason))
    n_models = len({model for model, _ in groups})
    title = (
        f"{plural(len(records), word)} of {plural(n_models, 'model')}; {attribute} has each in full"
    )
    return folded(title, table(["model", "where", f"first {word} of its kind"], rows), unfolded)
