"""From rows on an engine to what a trainer is given: the columns in use, encoded, with their slopes.

Each step is a sum over the rows, of which only the total comes here.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from cfens_stack.ensemble import rows as steps
from cfens_stack.ensemble.calibration import calibration_slopes
from cfens_stack.ensemble.completion import learn_completion
from cfens_stack.ensemble.confidence import brier_sums, calibration_from, mean_sums
from cfens_stack.ensemble.encoder import Encoder
from cfens_stack.ensemble.layout import layout_from_sums
from cfens_stack.ensemble.link import apply_link, column_sums, means, spread, squares_about
from cfens_stack.ensemble.posterior import class_weights
from cfens_stack.ensemble.training import Problem
from cfens_stack.kernels.missing_patterns import second_moment
from cfens_stack.validation import warn_user


def prepare(rows, settings, classes, names):
    """What `settings` make of the rows, for a trainer.

    Parameters
    ----------
    rows : Partitions of Rows
        All columns of R.
    settings : estimator
        Read for its parameters.
    classes : ndarray of shape (K,)
    names : ndarray of shape (m,)
        Of the columns of R, for messages.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If there is no prediction at all, a class has no labelled row with one, the columns do not
        fit the layout, or `strict=True` and a prediction is outside [0, 1].
    """
    if settings.strict:
        refuse_outside(rows)
    layout, rows = select(rows, settings, classes, names)
    warn_of_outside(rows, settings, layout)
    K = len(classes)
    mass, v_sum = rows.sum(partial(class_weight_sums, K=K))
    refuse_absent_class(mass, classes)
    rows, encoder = encode(rows, settings, layout, len(names))
    slopes = np.ones(len(encoder.means))
    if settings.aggregator == "weighted" and layout.kind != "scores":
        slopes, opposite = calibration_slopes(
            rows.map(slope_cells), layout.column_classes(), encoder.log_odds_unit
        )
        warn_of_opposite_columns(opposite, classes, layout)
    cells, total = rows.sum(confidence_sums)
    rows = rows.map(partial(scale_confidence, factor=cells / total))
    encoder = replace(
        encoder, confidence_scale=cells / total, ridge=float(settings.lambda_reg * cells / v_sum)
    )
    gram, missing, changes = None, None, []
    if settings.uncertainty:
        encoder, gram, missing, changes = learn_to_complete(rows, encoder, settings, v_sum)
        if changes:
            rows = rows.map(partial(complete, completion=encoder.completion))
            cells = v_sum * len(encoder.means)
    return Problem(
        rows=rows,
        encoder=encoder,
        mass=mass,
        class_weights=class_weights(mass) if settings.use_class_weights else np.ones(K),
        slopes=slopes,
        ridge_x=float(settings.lambda_reg * cells / len(encoder.means)),
        nonnegative=settings.nonnegative and layout.kind != "scores",
        missing_moment=missing,
        changes=changes,
        gram=gram,
    )


def learn_to_complete(rows, encoder, settings, v_sum):
    """The encoder with its completion, the second moment of completed rows, what the uncertainty of
    filled cells adds to it (None where there are none), and the changes that EM made.
    """
    q = len(encoder.means)
    completion, moment, changes = learn_completion(
        rows,
        min(settings.latent_dim, q),
        settings.lambda_reg,
        v_sum,
        n_outputs=encoder.layout.n_outputs,
        per_cell=encoder.confidence == "certainty" or callable(encoder.confidence),
        max_iter=settings.max_iter,
        tol=settings.tol,
    )
    # A completed row has q cells of mean confidence 1: the ridge of a complete row.
    encoder = replace(encoder, completion=completion, ridge=float(settings.lambda_reg * q))
    if not changes:
        return encoder, moment, None, changes
    (filled,) = rows.sum(partial(completed_moment, completion=completion))
    return encoder, filled, moment - filled, changes


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


def encode(rows, settings, layout, n_features):
    """Rows with Z and C, the latter not yet scaled; the Encoder behind them, without its scale."""
    # Scores have no log-odds, and nobody knows that larger means likelier.
    link = "identity" if layout.kind == "scores" else settings.link
    rows = rows.map(
        partial(to_link_scale, link=link, smoothing=settings.smoothing, n_outputs=layout.n_outputs)
    )
    count, total = rows.sum(link_sums)
    mu = means(count, total)
    (squares,) = rows.sum(partial(deviation_sums, mu=mu))
    encoder = Encoder(
        n_features=n_features,
        layout=layout,
        link=link,
        smoothing=settings.smoothing,
        means=mu,
        scale=spread(count, squares, mu),
        seen=count > 0,
        confidence=settings.confidence,
        column_confidence=column_confidence(rows, settings, layout),
    )
    return rows.map(partial(centre, encoder=encoder)), encoder


def column_confidence(rows, settings, layout):
    """One number per column: 1 - Brier score with "calibration", else 1."""
    if settings.confidence == "calibration" and layout.kind != "scores":
        return calibration_from(*rows.sum(partial(brier_score_sums, layout=layout)))
    return np.ones(len(layout.columns))


# Steps on the rows of one partition.


def class_weight_sums(rows, K):
    """Weight of the labelled rows of each class, (K,), and of all rows."""
    known = rows.y >= 0
    return np.bincount(rows.y[known], rows.v[known], minlength=K), rows.v.sum()


def to_link_scale(rows, **link):
    """With G, the link-scale predictions."""
    return replace(rows, G=apply_link(rows.R, **link))


def link_sums(rows):
    """Weight and sum of the link-scale predictions of each column."""
    return column_sums(rows.G, rows.observed, rows.v)


def deviation_sums(rows, mu):
    """Sum of squared deviations from the column means."""
    return (squares_about(rows.G, rows.observed, rows.v, mu),)


def brier_score_sums(rows, layout):
    """Sums behind the Brier score of each column."""
    rows = rows.labelled()
    return brier_sums(rows.R, layout.targets(rows.y), rows.v)


def centre(rows, encoder):
    """With Z and C instead of G."""
    Z = encoder.centre(rows.G, rows.observed)
    C = encoder.cell_confidence(rows.R, rows.observed, rows.given)
    return replace(rows, G=None, given=None, Z=Z, C=C)


def slope_cells(rows):
    """What the slopes are learnt from: Z, where observed (None: everywhere), class codes, weights."""
    rows = rows.labelled()
    return rows.Z, rows.observed, rows.y, rows.v


def confidence_sums(rows):
    """Weight of the observed cells, and the sum of their confidence."""
    return mean_sums(rows.C, rows.v)


def complete(rows, completion):
    """With missing cells filled in Z and C."""
    Z, C = completion.fill(rows.Z, rows.C)
    return replace(rows, Z=Z, C=C)


def completed_moment(rows, completion):
    """Z'VZ of completed rows."""
    return (second_moment(completion.fill(rows.Z, rows.C)[0], rows.v),)


def scale_confidence(rows, factor):
    """With C of mean 1 over observed cells."""
    return replace(rows, C=rows.C * factor)
