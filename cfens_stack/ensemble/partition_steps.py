"""Steps of a fit on the rows of one partition, run where the partition is; sums are tuples, which
`add` adds.
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils import check_array

from cfens_stack.ensemble.aggregator import loss_sums
from cfens_stack.ensemble.calibration import logistic_sums, target_sums
from cfens_stack.ensemble.confidence import brier_sums, known_truth, mean_sums, reweighted
from cfens_stack.ensemble.layout import layout_sums
from cfens_stack.ensemble.link import (
    apply_link,
    column_sums,
    refuse_large_scores,
    squares_about,
    standardise,
)
from cfens_stack.kernels.ridge import fold_in, sweep_sums


@dataclass(frozen=True)
class Part:
    """Rows of one partition; symbols of `training.Problem`, filled in as the fit proceeds."""

    R: np.ndarray
    v: np.ndarray
    y: np.ndarray
    G: np.ndarray | None = None  # link-scale predictions
    Z: np.ndarray | None = None
    C: np.ndarray | None = None  # label-free confidence
    C_training: np.ndarray | None = None  # confidence under which the model factors are trained
    a: np.ndarray | None = None  # probability given to the truth


def identity(R):
    return R


def add(left, right):
    return tuple(a + b for a, b in zip(left, right, strict=True))


def column_names(R):
    """Names of the columns of a data frame, None where it is none or not all are strings."""
    names = list(getattr(R, "columns", [None]))
    return names if all(isinstance(name, str) for name in names) else None


def read(R, y, v):
    R = check_array(R, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=0)
    refuse_large_scores(R)
    return Part(R=R, v=np.ones(len(R)) if v is None else v, y=y)


def outside(part):
    return (((part.R < 0) | (part.R > 1)).sum(),)


def part_layout_sums(part, n_classes):
    return layout_sums(part.R, n_classes)


def observed_columns(part):
    return (np.isfinite(part.R[part.v > 0]).sum(axis=0),)


def keep(part, columns):
    R = part.R[:, columns]
    rows = np.isfinite(R).any(axis=1) & (part.v > 0)
    return Part(R=R[rows], v=part.v[rows], y=part.y[rows])


def apply_part_link(part, link, smoothing, n_outputs):
    return replace(part, G=apply_link(part.R, link, smoothing, n_outputs))


def first_sums(part, layout, K):
    """Sums that need nothing but the rows: cells and link-scale predictions by column, weight by
    class, Brier score.
    """
    labelled = part.y >= 0
    R, y, v = part.R[labelled], part.y[labelled], part.v[labelled]
    count, total = column_sums(part.G, np.isfinite(part.R), part.v)
    mass = np.bincount(y, weights=v, minlength=K)
    return count, total, mass, part.v.sum(), *brier_sums(R, layout.targets(y), v)


def squares(part, mu):
    return (squares_about(part.G, np.isfinite(part.R), part.v, mu),)


def centre(part, mu, scale, confidence):
    observed = np.isfinite(part.R)
    return replace(
        part,
        G=None,
        Z=standardise(part.G, observed, mu, scale),
        C=confidence(part.R, observed, None),
    )


def class_sums(part, layout):
    labelled = part.y >= 0
    return target_sums(layout.targets(part.y[labelled]), part.v[labelled])


def calibration_sums(part, a, b, layout, unit):
    rows = part.y >= 0
    targets = layout.targets(part.y[rows])
    return logistic_sums(a, b, part.Z[rows], np.isfinite(part.R[rows]), targets, part.v[rows], unit)


def confidence_sums(part):
    return mean_sums(np.broadcast_to(part.C, part.Z.shape), part.v)


def scale_confidence(part, factor):
    C = part.C * factor
    return replace(part, C=C, C_training=C)


def truth(part, layout):
    cells = np.where(np.isfinite(part.R), part.C, 0.0)
    return replace(
        part, a=known_truth(cells, part.R, layout.targets(part.y), part.y >= 0), C_training=cells
    )


def truth_sums(part):
    return mean_sums(part.a, part.v)


def reweight(part, factor, rho):
    return replace(
        part, a=None, C_training=reweighted(part.C_training, part.a, part.y >= 0, rho, factor)
    )


def training_sums(part):
    return mean_sums(part.C_training, part.v)


def scale_training(part, factor):
    return replace(part, C_training=part.C_training * factor)


def gram(part):
    return (part.Z.T @ (part.v[:, None] * part.Z),)


def training_total(part):
    return (mean_sums(np.broadcast_to(part.C_training, part.Z.shape), part.v)[1],)


def is_constant(part):
    return part.C_training.ndim == 1 and np.ptp(part.C_training) == 0


def part_sweep_sums(part, X, ridge_y):
    Z, C = (array.astype(X.dtype, copy=False) for array in (part.Z, part.C_training))
    return sweep_sums(Z, C, part.v, X, ridge_y)


def labelled_factors(part, X, ridge_y):
    rows = part.y >= 0
    Y = fold_in(part.Z[rows], part.C if part.C.ndim == 1 else part.C[rows], X, ridge_y)
    return np.column_stack([Y, np.ones(len(Y))]), part.y[rows], part.v[rows]


def factor_loss_sums(factors, V, class_weights, gamma):
    Y, y, v = factors
    return loss_sums(V, Y, y, v * class_weights[y], gamma)
