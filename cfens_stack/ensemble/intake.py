"""What a fit is given: rows on an engine, their columns, weights that say how many rows there are."""

from itertools import pairwise

import numpy as np
from sklearn.utils.validation import validate_data

from cfens_stack.ensemble import rows as steps
from cfens_stack.ensemble.engines import Partitions, by_row_blocks, in_memory, too_large_to_copy
from cfens_stack.ensemble.preparation import encode_rows
from cfens_stack.positive_class import positive_class
from cfens_stack.validation import check_weights, encode_labels, filled, warn_user

SMALL_WEIGHT = 0.1


def take_in(estimator, R, y, sample_weight):
    """Checked and encoded rows of a fit: Encoded. The estimator notes its columns."""
    parts = on_engine(estimator, R)
    classes, y = encode_labels(y)
    # The codes of the fit count the positive class last.
    positive = positive_class(estimator.pos_label, classes)
    order = np.roll(np.arange(len(classes)), positive + 1)
    y = np.where(y >= 0, order[y], y)
    v = check_weights(sample_weight, y, y, classes)
    warn_of_small_weights(estimator, y, v)
    ends = np.cumsum([0, *(shape[0] for shape in parts.gather(np.shape))])
    if ends[-1] != len(y):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: [{ends[-1]}, "
            f"{len(y)}]. R has {ends[-1]} rows, but y has {len(y)} entries."
        )
    cuts = [slice(*pair) for pair in pairwise(ends)]
    weights = [None if v is None else v[cut] for cut in cuts]
    rows = parts.map(steps.read, [y[cut] for cut in cuts], weights)
    return encode_rows(rows, estimator, classes, order)


def on_engine(estimator, R):
    """R as partitions on an engine; the estimator notes its columns."""
    if isinstance(R, Partitions):
        note_columns(estimator, R)
        return R
    R = filled(R)
    if too_large_to_copy(R) and not needs_all_rows(estimator):
        validate_data(estimator, R, reset=True, skip_check_array=True)
        return by_row_blocks(R)
    R = validate_data(estimator, R, dtype=np.float64, ensure_all_finite="allow-nan", reset=True)
    return in_memory(R)


def needs_all_rows(settings):
    """Whether a fit needs the rows in one place: a function of all of R, a parameter per row."""
    is_free = getattr(settings, "instance_factors", None) == "free"
    return callable(settings.confidence) or (is_free and getattr(settings, "trainer", "") != "als")


def note_columns(estimator, parts):
    """Number and names of the columns of partitions, which have to agree."""
    if needs_all_rows(estimator):
        raise ValueError(
            "Partitions are fitted with a named confidence and projected instance factors, but "
            f"{estimator!r} needs all rows in one place: pass confidence='uniform', 'certainty' or "
            "'calibration' and instance_factors='projected'."
        )
    shapes, names = parts.gather(np.shape), parts.gather(steps.column_names)
    if len({shape[1:] for shape in shapes}) != 1 or len(shapes[0]) != 2:
        raise ValueError(
            f"The partitions have shapes {shapes}: pass two-dimensional ones with the same columns."
        )
    if any(other != names[0] for other in names):
        raise ValueError(
            "The partitions have columns of different names or order: pass the same columns in all."
        )
    known = None if names[0] is None else np.asarray(names[0], dtype=object)
    set_columns(estimator, shapes[0][1], known)


def set_columns(estimator, n_features, names):
    """Number of the columns of R and their names, None if they have none."""
    estimator.n_features_in_ = n_features
    if names is not None:
        estimator.feature_names_in_ = names
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def warn_of_small_weights(settings, y, v):
    """Weights that sum to 1 say that there is one row; y are class codes, v weights or None."""
    if v is None or settings.aggregator_reg != "auto":
        return
    mean_weight = v[(y >= 0) & (v > 0)].mean()
    if mean_weight < SMALL_WEIGHT:
        warn_user(
            f"sample_weight has mean {mean_weight:.2g} over the labelled rows. Weights count rows, "
            "so aggregator_reg='auto' trusts the labels less and stays close to the average of "
            "the calibrated models: rescale the weights to mean 1, or pass a number as "
            "aggregator_reg."
        )
