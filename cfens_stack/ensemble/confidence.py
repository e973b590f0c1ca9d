"""Confidence: how far each prediction is trusted when factors are fitted, (R, y) -> C of the
design's sections 3 and 5.

C is >= 0 and 0 exactly where a prediction is missing. Only ratios count: the trainers rescale C to
mean 1.
"""

import numpy as np

from cfens_stack.kernels.blocks import weighted_total

CONFIDENCES = ("uniform", "certainty", "calibration")
# |2r - 1| alone would give r = 0.5 no weight, and an all-0.5 row no factors (mistake 6).
CERTAINTY_FLOOR = 0.1


def certainty(R):
    """Distance of each prediction from 1/2: floor + (1 - floor) |2 r - 1|, in [0.1, 1]. Shape (n,
    m).
    """
    return CERTAINTY_FLOOR + (1.0 - CERTAINTY_FLOOR) * np.abs(2.0 * np.clip(R, 0.0, 1.0) - 1.0)


def calibration(R, targets, v):
    """One number per model: 1 - Brier score on the labelled rows it has scored.

    Parameters
    ----------
    R : ndarray of shape (n, m)
        Predictions of labelled rows, NaN where missing.
    targets : ndarray of shape (n, m)
        1 where the row's class is the class of the column, else 0.
    v : ndarray of shape (n,)

    Returns
    -------
    confidence : ndarray of shape (m,)
        In [0, 1]; the mean of the others for a model without a labelled row; at least 0.01, so that
        no model is lost.
    """
    return calibration_from(*brier_sums(R, targets, v))


def brier_sums(R, targets, v):
    """Sum of squared errors and weight of the observed cells of each column: two ndarrays of shape
    (m,).
    """
    observed = np.isfinite(R)
    squared_error = np.where(observed, (np.clip(R, 0.0, 1.0) - targets) ** 2, 0.0)
    return v @ squared_error, v @ observed


def calibration_from(squared_error, count):
    """`calibration` from the sums over all labelled rows."""
    known = count > 0
    brier = squared_error[known] / count[known]
    confidence = np.full(len(count), 1.0 - brier.mean() if known.any() else 1.0)
    confidence[known] = 1.0 - brier
    return np.maximum(confidence, 0.01)


def mean_sums(C, v):
    """Weight of the positive cells of C (n, m), or (m,) for all rows, and the sum of C, over rows
    weighted by v.
    """
    if C.ndim == 1:
        return float(v.sum() * (C > 0).sum()), float(v.sum() * C.sum())
    return float(np.sum(weighted_total(v, lambda C: C > 0, C))), float(np.sum(v @ C))


def check_confidence(confidence, R, y, used=...):
    """What a callable `confidence` returns for R, checked; None for the named choices.

    Parameters
    ----------
    confidence : str or callable
    R : ndarray of shape (n, m)
    y : ndarray of shape (n,) or None
        Labels in training, None for new rows.
    used : index, default=...
        Cells that training uses; not all of their confidences may be zero.

    Returns
    -------
    C : ndarray of shape (n, m) or None
    """
    if not callable(confidence):
        return None
    shown = R.view()
    shown.flags.writeable = False  # R may be the caller's own
    C = np.asarray(confidence(shown, y), dtype=np.float64)
    if C.shape != R.shape:
        raise ValueError(
            f"confidence={confidence!r} returned shape {C.shape}, but R has shape {R.shape}: "
            "the shapes must agree."
        )
    cells = C[np.isfinite(R)]
    if (
        not np.isfinite(cells).all()
        or (cells < 0).any()
        or (y is not None and not C[used][np.isfinite(R[used])].any())
    ):
        raise ValueError(
            f"confidence={confidence!r} returned values that are negative, not finite or all zero "
            "where R has predictions: return numbers >= 0, some of them positive."
        )
    return C
