"""HTML of fitted estimators in notebooks: scikit-learn's own diagram, and below it what the fit found.

The styles name no colours, so that the tables follow the light or dark theme of the page.
"""

from html import escape

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from cfens_stack.aggregation import column_weights

SHOWN = 30  # rows of a table; of more models those with the largest weights matter
CELL = "padding: 0.1em 0.6em; text-align: left; border-bottom: 1px solid currentColor"


class FittedSummaryMixin(BaseEstimator):
    """Appends `_fit_summary()`, an HTML string, to scikit-learn's diagram of a fitted estimator."""

    def _fit_summary(self):
        raise NotImplementedError

    def _repr_html_inner(self):
        return super()._repr_html_inner() + self._summary_if_fitted()

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        if get_config()["display"] == "diagram":
            bundle["text/html"] += self._summary_if_fitted()
        return bundle

    def _summary_if_fitted(self):
        try:
            check_is_fitted(self)
        except NotFittedError:
            return ""
        return f'<div class="cfens-summary" style="overflow-x: auto; line-height: 1.3">{self._fit_summary()}</div>'


def paragraph(text):
    """Escaped text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def table(heading, rows):
    """An HTML table of text.

    Parameters
    ----------
    heading : sequence of str
    rows : sequence of sequence of object
        Cells; `Bar` draws itself, all else is escaped text.
    """
    lines = [f"<tr>{''.join(f'<th style={CELL!r}>{escape(word)}</th>' for word in heading)}</tr>"]
    for row in rows[:SHOWN]:
        cells = "".join(f"<td style={CELL!r}>{getattr(cell, 'html', escape(str(cell)))}</td>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    more = paragraph(f"and {len(rows) - SHOWN} more") if len(rows) > SHOWN else ""
    return f'<table style="border-collapse: collapse">{"".join(lines)}</table>{more}'


class Bar:
    """A number with a bar of its size.

    Parameters
    ----------
    value : float
    largest : float
        The value that has a full bar.
    """

    def __init__(self, value, largest):
        width = 8.0 * abs(value) / largest if largest > 0 else 0.0
        bar = f"display: inline-block; height: 0.7em; width: {width:.2f}em; background: currentColor; opacity: 0.5"
        self.html = f'{value:.3f} <span style="{bar}"></span>'


def ensemble_summary(ensemble):
    """Of a fitted CFEnsemble or trainer: how training ended, and the weights."""
    d, strength = ensemble.classifier_factors_.shape[1], ensemble.aggregator_reg_
    state = "converged" if ensemble.converged_ else "NOT converged: raise max_iter or tol"
    text = (
        f"{len(ensemble.classes_)} classes, {ensemble.n_features_in_} columns ({ensemble.layout_}), rank {d}, "
        f"{ensemble.link_} link; {ensemble.n_iter_} steps, {state}; "
    )
    text += f"weights shrunk with strength {strength:.3g}" if np.isfinite(strength) else "plain average"
    names = getattr(ensemble, "feature_names_in_", np.arange(ensemble.n_features_in_))
    weights = column_weights(ensemble.coef_)
    order = np.argsort(-np.abs(weights), kind="stable")
    largest = np.abs(weights).max()
    rows = [(names[u], Bar(weights[u], largest), f"{ensemble.calibration_slopes_[u]:.2f}") for u in order]
    return paragraph(text) + table(["model", "weight", "calibration slope"], rows)


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
        failures = [str(failure) for failure in pipeline.failures_ if failure.model == name]
        state = "lost" if pipeline.named_estimators_[name] is None else "fitted"
        cell = Bar(weight, np.abs(weights).max()) if known else "-"
        rows.append((name, state, cell, f"{share:.1%}", "; ".join(failures)))
    heading = ["base model", "state", "weight", "missing", "failures"]
    text = f"{n} rows, {m} base models, {len(pipeline.failures_)} failures; meta-learner {type(meta).__name__}"
    return paragraph(text) + table(heading, rows)


def search_summary(search):
    """Of a fitted CFEnsembleSearch: what was tried, and what was selected."""
    states = [trial.state.name.lower() for trial in search.study_.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    text = (
        f"{len(states)} trials ({counts}); best {search.scoring} {search.best_score_:.4f}, standard error "
        f"{search.best_standard_error_:.4f}; selected by {search.selection!r}"
    )
    return paragraph(text) + table(["parameter", "selected"], list(search.best_params_.items()))
