"""What a fitted pipeline shows of itself in a notebook."""

import numpy as np

from cfens_stack.ensemble.aggregator import column_weights
from cfens_stack.html import Bar, paragraph, table
from cfens_stack.stacking.failures import reasons_of


def pipeline_summary(pipeline):
    """Of a fitted StackingPipeline: weight, missing predictions and failures of each base model."""
    n, m = len(pipeline.oof_), len(pipeline.model_names_)
    missing = np.isnan(pipeline.oof_).reshape(n, m, -1).any(axis=2).mean(axis=0)
    meta = getattr(pipeline.meta_, "best_estimator_", pipeline.meta_)
    weights = np.full(m, np.nan)
    if hasattr(meta, "coef_") and np.shape(meta.coef_)[-1] == pipeline.oof_.shape[1]:
        weights = column_weights(column_weights(meta.coef_).reshape(m, -1).T)
    known = bool(np.isfinite(weights).all())
    rows = []
    for name, weight, share in zip(pipeline.model_names_, weights, missing, strict=True):
        state = "lost" if pipeline.named_estimators_[name] is None else "fitted"
        cell = Bar(weight, np.abs(weights).max()) if known else "-"
        rows.append((name, state, cell, f"{share:.1%}", reasons_of(name, pipeline.failures_)))
    heading = ["base model", "state", "weight", "missing", "failures"]
    text = f"{n} rows, {m} base models, {len(pipeline.failures_)} failures; meta-learner {type(meta).__name__}"
    return paragraph(text) + table(heading, rows)
