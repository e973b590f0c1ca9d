"""HTML of fitted estimators in notebooks: scikit-learn's own diagram, and below it what the fit
found.

The styles name no colours, so that the tables follow the light or dark theme of the page.
"""

from html import escape

from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

SHOWN = 30  # rows of a table: the models with the largest weights matter
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
        cells = "".join(
            f"<td style={CELL!r}>{getattr(cell, 'html', escape(str(cell)))}</td>" for cell in row
        )
        lines.append(f"<tr>{cells}</tr>")
    more = paragraph(f"and {len(rows) - SHOWN} more") if len(rows) > SHOWN else ""
    return f'<table style="border-collapse: collapse">{"".join(lines)}</table>{more}'


class Bar:
    """A number with a bar of its size; of a negative number the bar is hollow.

    Parameters
    ----------
    value : float
    largest : float
        The value that has a full bar.
    """

    def __init__(self, value, largest):
        width = 8.0 * abs(value) / largest if largest > 0 else 0.0
        fill = "box-shadow: inset 0 0 0 1px" if value < 0 else "background: currentColor"
        bar = f"display: inline-block; height: 0.7em; width: {width:.2f}em; {fill}; opacity: 0.5"
        self.html = f'{value:.3f} <span style="{bar}"></span>'
