"""What a fitted ensemble shows of itself in a notebook."""

import numpy as np

from cfens_stack.ensemble.aggregator import column_weights
from cfens_stack.html import Bar, paragraph, plural, table


def ensemble_summary(ensemble):
    """Of a fitted CFEnsemble or trainer: how training ended, and the weights."""
    d, strength = ensemble.classifier_factors_.shape[1], ensemble.aggregator_reg_
    state = "converged" if ensemble.converged_ else "NOT converged: raise max_iter or tol"
    text = (
        f"{len(ensemble.classes_)} classes, {ensemble.n_features_in_} columns "
        f"({ensemble.layout_}), rank {d}, {ensemble.link_} link; {plural(ensemble.n_iter_, 'step')}, "
        f"{state}; "
    )
    text += (
        f"weights shrunk with strength {strength:.3g}" if np.isfinite(strength) else "plain average"
    )
    names = getattr(ensemble, "feature_names_in_", np.arange(ensemble.n_features_in_))
    weights = column_weights(ensemble.coef_)
    order = np.argsort(-np.abs(weights), kind="stable")
    largest = np.abs(weights).max()
    rows = [
        (names[u], Bar(weights[u], largest), f"{ensemble.calibration_slopes_[u]:.2f}")
        for u in order
    ]
    return paragraph(text) + table(["model", "weight", "calibration slope"], rows)
