"""HTML of fitted estimators in notebooks: what the fit found, and scikit-learn's own diagram.

The styles name no colours, so that the tables follow the light or dark theme of the page.
"""

from html import escape

from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

SHOWN = 30  # rows of a table: the models with the largest weights matter
CELL = "padding: 0.1em 0.6em; text-align: left; vertical-align: top"
HEAD = CELL + "; border-bottom: 1px solid currentColor"


class FittedSummaryMixin(BaseEstimator):
    """Puts `_fit_summary()`, an HTML string, before scikit-learn's diagram of a fitted estimator,
    which is folded: of ten pipelines side by side it is several screens wide.
    """

    def _fit_summary(self):
        raise NotImplementedError

    def _repr_html_inner(self):
        return self._with_summary(super()._repr_html_inner())

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        if get_config()["display"] == "diagram":
            bundle["text/html"] = self._with_summary(bundle["text/html"])
        return bundle

    def _with_summary(self, diagram):
        try:
            check_is_fitted(self)
        except NotFittedError:
            return diagram
        name = f"<b>{escape(type(self).__name__)}</b>"
        inner = name + self._fit_summary() + folded("diagram and parameters", diagram)
        return (
            f'<div class="cfens-summary" style="overflow-x: auto; line-height: 1.3">{inner}</div>'
        )


def paragraph(text):
    """Escaped text as a paragraph."""
    return f'<p style="margin: 0.3em 0">{escape(text)}</p>'


def plural(count, word):
    """A count with its noun."""
    return f"{count} {word}" + "s" * (count != 1)


def folded(title, html, unfolded=False):
    """HTML behind a title that opens and closes it; the title is escaped."""
    state = " open" * unfolded
    return f'<details{state} style="margin: 0.4em 0"><summary>{escape(title)}</summary>{html}</details>'


def table(heading, rows):
    """An HTML table of text.

    Parameters
    ----------
    heading : sequence of str
    rows : sequence of sequence of object
        Cells; `Bar` draws itself, all else is escaped text.
    """
    lines = [f"<tr>{''.join(f'<th style={HEAD!r}>{escape(word)}</th>' for word in heading)}</tr>"]
    for row in rows[:SHOWN]:
        cells = "".join(
            f"<td style={CELL!r}>{getattr(cell, 'html', escape(str(cell)))}</td>" for cell in row
        )
        lines.append(f"<tr>{cells}</tr>")
    more = paragraph(f"and {len(rows) - SHOWN} more") if len(rows) > SHOWN else ""
    return (
        f'<table style="border-collapse: collapse; font-size: 0.9em">{"".join(lines)}</table>{more}'
    )


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
        self.html = f'<span style="white-space: nowrap">{value:.3f} <i style="{bar}"></i></span>'
