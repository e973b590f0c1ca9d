"""What a fitted pipeline shows of itself in a notebook."""

import numpy as np

from cfens_stack.html import Bar, paragraph, table
from cfens_stack.stacking.failures import reasons_of
from cfens_stack.stacking.leaderboard import missing_shares, model_weights

HEADING = ["base model", "weight", "slope", "missing", "seconds", "state", "failures"]


def pipeline_summary(pipeline):
    """Of a fitted StackingPipeline: weight, missing predictions, seconds and failures of each base
    model, the largest weights first.
    """
    names, meta = pipeline.model_names_, pipeline.meta_
    m = len(names)
    weights, slopes = model_weights(meta, m)
    oof = getattr(pipeline, "oof_", None)  # for_serving() leaves it out
    missing = ["-"] * m if oof is None else [f"{share:.1%}" for share in missing_shares(oof, m)]
    known = bool(np.isfinite(weights).all())
    rows = []
    for u in np.argsort(-weights, kind="stable"):
        name = names[u]
        rows.append(
            (
                name,
                Bar(weights[u], np.abs(weights).max()) if known else "-",
                f"{slopes[u]:.2f}" if np.isfinite(slopes[u]) else "-",
                missing[u],
                f"{pipeline.fit_times_[name] + pipeline.predict_times_[name]:.3g}",
                "lost" if pipeline.named_estimators_[name] is None else "fitted",
                reasons_of(name, pipeline.failures_),
            )
        )
    meta = getattr(meta, "best_estimator_", meta)
    text = (
        f"{'for serving' if oof is None else f'{len(oof)} rows'}, {m} base models, {len(pipeline.failures_)} failures, "
        f"{len(pipeline.warnings_)} warnings; meta-learner {type(meta).__name__}"
    )
    return paragraph(text) + table(HEADING, rows)
