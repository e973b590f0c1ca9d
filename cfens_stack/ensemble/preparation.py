"""From rows on an engine to the columns in use, encoded, with their slopes.

Each step is a sum over the rows, of which only the total comes here.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from cfens_stack.ensemble import rows as steps
from cfens_stack.ensemble.calibration import calibration_slopes
from cfens_stack.ensemble.encoded import Encoded, encoding_key
from cfens_stack.ensemble.encoder import Encoder
from cfens_stack.ensemble.layout import layout_from_sums
from cfens_stack.ensemble.link import apply_link, column_sums, means, spread, squares_about
from cfens_stack.validation import warn_user


def encode_rows(rows, settings, classes, order):
    """What `settings` make of the rows before confidence, rank and regularisation matter.

    Parameters
    ----------
    rows : Partitions of Rows
        All columns of R.
    settings : estimator
        Read for the parameters in `ENCODING`, and for the columns of R.
    classes : ndarray of shape (K,)
    order : ndarray of int, shape (K,)
        Code of each class, which the rows have: the positive class of two has the last one.

    Returns
    -------
    Encoded

    Raises
    ------
    ValueError
        If there is no prediction at all, a class has no labelled row with one, the columns do not
        fit the layout or `pos_label`, or `strict=True` and a prediction is outside [0, 1].
    """
    names, by_code = getattr(settings, "feature_names_in_", None), classes[order]
    if settings.strict:
        refuse_outside(rows)
    shown = np.arange(settings.n_features_in_) if names is None else names
    layout, rows = select(rows, settings, by_code, shown)
    refuse_label_of_all_classes(settings, order, layout)
    warn_of_outside(rows, settings, layout)
    mass, v_sum, n_labelled = rows.sum(partial(class_weight_sums, K=len(classes)))
    refuse_absent_class(mass, by_code)
    rows, encoder = encode(rows, settings, layout)
    slopes = np.ones(len(encoder.means))
    if settings.aggregator == "weighted" and layout.kind != "scores":
        slopes, opposite = calibration_slopes(
            rows.map(slope_cells), layout.column_classes(), encoder.log_odds_unit
        )
        warn_of_opposite_columns(opposite, by_code, layout)
    return Encoded(
        key=encoding_key(settings),
        classes=classes,
        order=order,
        names=names,
        rows=rows,
        encoder=encoder,
        mass=mass,
        v_sum=float(v_sum),
        n_labelled=int(n_labelled),
        slopes=slopes,
    )


def refuse_outside(rows):
    """Raise where a cell lies outside [0, 1]."""
    found = [part for part in rows.gather(steps.outside) if part[0]]
    if found:
        raise ValueError(
            f"strict=True accepts probabilities in [0, 1], but {sum(n for n, _ in found)} cells of "
            f"R lie outside, the first of value {found[0][1]:g}. Pass probabilities, or "
            "strict=False to treat the columns as scores."
        )


def refuse_absent_class(mass, classes):
    """Raise where a class has no labelled row with a prediction; mass (K,) is their weight."""
    if not mass.all():
        raise ValueError(
            f"No labelled row of class {classes[mass == 0].tolist()[0]!r} has a prediction: "
            "every class needs one."
        )


def select(rows, settings, classes, names):
    """Layout of the columns in use, and the rows that have a prediction in them."""
    K = len(classes)
    sums = None
    if settings.layout == "auto":
        sums = rows.sum(partial(steps.sums_of_layout, n_classes=K))
    layout = layout_from_sums(sums, len(names), K, settings.layout)
    check_n_classifiers(settings, layout)
    (observed,) = rows.sum(steps.observed_cells)
    kept = models_with_predictions(observed, layout)
    if callable(settings.confidence):
        asked = {"confidence": settings.confidence, "classes": classes}
        rows = rows.map(partial(steps.give_confidence, **asked, columns=layout.keep(kept).columns))
        (observed,) = rows.sum(steps.observed_cells)
        kept = models_with_predictions(observed, layout)
    warn_of_lost_columns(layout, kept, names)
    layout = layout.keep(kept)
    return layout, rows.map(partial(steps.keep, columns=layout.columns))


def refuse_label_of_all_classes(settings, order, layout):
    """Refuse a positive class where each class has its own columns."""
    if order[0] != 0 and layout.has_all_classes:
        raise ValueError(
            f"pos_label={settings.pos_label!r} says whose probability one column per model gives, "
            "but R has a column for each class: leave pos_label=None."
        )


def check_n_classifiers(settings, layout):
    """Refuse another number of base models than the trainer was told."""
    expected = getattr(settings, "n_classifiers", None)
    found = len(layout.columns) // layout.n_outputs
    if expected is not None and expected != found:
        raise ValueError(
            f"n_classifiers={expected}, but R has predictions of {found} base models: pass R with "
            f"the columns of {expected}, or leave n_classifiers=None to take the number from R."
        )


def models_with_predictions(observed, layout):
    """Which models have scored a row of positive weight, from the counts of all columns: (m,)."""
    kept = (observed[layout.columns] > 0).reshape(-1, layout.n_outputs).any(axis=1)
    if not kept.any():
        raise ValueError(
            "R has no prediction at all: every cell is NaN, so no model has scored a row."
        )
    return kept


def warn_of_lost_columns(layout, kept, names):
    """Name the columns of models that have scored no row."""
    if not kept.all():
        lost = layout.columns.reshape(-1, layout.n_outputs)[~kept].ravel()
        warn_user(
            f"Columns {names[lost].tolist()} of R have no prediction in any row and are ignored.",
            UserWarning,
        )


def warn_of_opposite_columns(opposite, classes, layout):
    """Say so where most columns predict the opposite of what they are taken for."""
    if 2 * opposite.sum() <= len(opposite):
        return
    what, remedy = "the classes may be in another order", "check layout and the order of columns"
    if layout.n_outputs == 1:
        other, taken = classes.tolist()
        what = f"they look like probabilities of {other!r}, and are taken for those of {taken!r}"
        remedy = f"pass pos_label={other!r}, or 1 - R"
    warn_user(
        f"{opposite.sum()} of {len(opposite)} columns of R predict the opposite of their class (p < "
        f"0.001 each): {what}. Such columns get no weight. If that is so, {remedy}."
    )


def warn_of_outside(rows, settings, layout):
    """Say so where a stated layout of probabilities meets other values."""
    if settings.layout == "auto" or layout.kind == "scores":
        return
    found = [part for part in rows.gather(steps.far_outside) if part[0]]
    if found:
        warn_user(
            f"{sum(n for n, _ in found)} cells of R are outside [0, 1], the first {found[0][1]:g}, "
            f"but layout={settings.layout!r} is for probabilities: they are taken for 0 or 1. Pass "
            "probabilities, or layout='scores'."
        )


def encode(rows, settings, layout):
    """Rows with Z; the Encoder behind them, whose confidence is yet to come."""
    # Scores have no log-odds, and nobody knows that larger means likelier.
    link = "identity" if layout.kind == "scores" else settings.link
    rows = rows.map(
        partial(to_link_scale, link=link, smoothing=settings.smoothing, n_outputs=layout.n_outputs)
    )
    count, total = rows.sum(link_sums)
    mu = means(count, total)
    (squares,) = rows.sum(partial(deviation_sums, mu=mu))
    encoder = Encoder(
        n_features=settings.n_features_in_,
        layout=layout,
        link=link,
        smoothing=settings.smoothing,
        means=mu,
        scale=spread(count, squares, mu),
        seen=count > 0,
        confidence="uniform",
        column_confidence=np.ones(len(mu)),
    )
    return rows.map(partial(centre, encoder=encoder)), encoder


# Steps on the rows of one partition.


def class_weight_sums(rows, K):
    """Weight of the labelled rows of each class, (K,), and of all rows; number of labelled rows."""
    known = rows.y >= 0
    return np.bincount(rows.y[known], rows.v[known], minlength=K), rows.v.sum(), known.sum()


def to_link_scale(rows, **link):
    """With G, the link-scale predictions."""
    return replace(rows, G=apply_link(rows.R, **link))


def link_sums(rows):
    """Weight and sum of the link-scale predictions of each column."""
    return column_sums(rows.G, rows.observed, rows.v)


def deviation_sums(rows, mu):
    """Sum of squared deviations from the column means."""
    return (squares_about(rows.G, rows.observed, rows.v, mu),)


def centre(rows, encoder):
    """With Z instead of G."""
    return replace(rows, G=None, Z=encoder.centre(rows.G, rows.observed))


def slope_cells(rows):
    """What the slopes are learnt from: Z, where observed (None: everywhere), class codes, weights."""
    rows = rows.labelled()
    return rows.Z, rows.observed, rows.y, rows.v
