"""Alternating least squares: the trainer with closed-form steps, equation (4)."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from cfens_stack.ensemble.label_aware import (
    label_aware_confidence,
    label_aware_scales,
    truth_sums,
)
from cfens_stack.ensemble.training import Solution, train_aggregator
from cfens_stack.kernels.missing_patterns import merged_moments, second_moment, second_moments
from cfens_stack.kernels.ridge import finish_sweep, sweep_moments, sweep_sums
from cfens_stack.validation import warn_user

FLOAT32_FROM = 1e-3  # lambda_reg: there reconstructions differ by 1e-4 of their largest entry


@dataclass(frozen=True, eq=False)
class Cells:
    """What sweeps see of the rows of one partition: Z (n, q), C (n, q) or (q,), v (n,)."""

    Z: np.ndarray
    C: np.ndarray
    v: np.ndarray


def train_als(problem, settings):
    """Model factors by balanced sweeps, then the aggregator on the fold-in factors of the labelled
    rows.

    Supervision reaches the factors only through the confidence. The aggregator sees factors made
    without labels, exactly as at prediction, so no label leaks through them (mistake 4).

    Parameters
    ----------
    problem : Problem
    settings : CFEnsembleTrainer or CFEnsemble
        Read for its parameters.

    Returns
    -------
    Solution
    """
    warn_of_float32(settings)
    aware = wants_label_aware(problem, settings)
    X, values, converged = train_factors(
        label_aware(problem, settings)
        if aware
        else problem.rows.map(partial(cells_of, dtype=settings.dtype)),
        min(settings.latent_dim, problem.n_columns),
        problem.ridge_x,
        problem.encoder.ridge,
        max_iter=settings.max_iter,
        tol=settings.tol,
        dtype=settings.dtype,
        missing=None if aware else problem.missing_moment,
        gram=problem.gram,
    )
    fit, W, b, damped = train_aggregator(problem, X, settings)
    history = {"reconstruction": np.array(values), "supervision": np.array(fit.history)}
    converged = converged and fit.converged
    return Solution(X, W, b, damped, fit.aggregator_reg, history, len(values) - 1, converged)


def warn_of_float32(settings):
    """Warn where sweeps in float32 could lose more than a fit notices (`bench/float32.py`)."""
    if settings.dtype == "float32" and settings.lambda_reg < FLOAT32_FROM:
        warn_user(
            f"dtype='float32' with lambda_reg={settings.lambda_reg:g}: sweeps in float32 are meant "
            f"for lambda_reg of 0.01 and more, and lose digits below {FLOAT32_FROM:g}. Use "
            "dtype='float64' or a larger lambda_reg.",
            UserWarning,
        )


def wants_label_aware(problem, settings):
    """Whether the confidence becomes label-aware: if asked for, or if "auto" and imbalanced.

    Scores outside [0, 1] are no probabilities of the truth, so there it does not apply.
    """
    wanted = settings.use_label_aware_confidence
    if wanted == "auto":
        wanted = problem.is_imbalanced
    return bool(wanted) and settings.rho < 1 and problem.layout.kind != "scores"


def label_aware(problem, settings):
    """Cells under the label-aware confidence, of mean 1."""
    classes = problem.layout.column_classes()
    sums = problem.rows.sum(partial(truth_sums, classes=classes))
    scale, factor = label_aware_scales(sums, settings.rho)
    step = partial(label_aware_cells, classes=classes, rho=settings.rho, dtype=settings.dtype)
    return problem.rows.map(partial(step, scale=scale, factor=factor))


def train_factors(
    cells, latent_dim, ridge_x, ridge_y, *, max_iter, tol, dtype="float64", missing=None, gram=None
):
    """Model factors that minimise objective (1), by balanced fused sweeps from a spectral start.

    Parameters
    ----------
    cells : Partitions of Cells
        Z centred, 0 in missing cells; C with mean 1 over observed cells, 0 in missing ones.
    latent_dim : int, at most q
    ridge_x, ridge_y : float, > 0
    max_iter : int
        Limit on the sweeps.
    tol : float
        The sweeps end when one lowers the objective by at most this share of it.
    dtype : {"float64", "float32"}
        Precision of the sweeps.
    missing : ndarray of shape (q, q), default=None
        What the uncertainty of filled cells adds to Z'VZ, where rows share their confidence.
    gram : ndarray of shape (q, q), default=None
        Z'VZ, if it is known.

    Returns
    -------
    X : ndarray of shape (q, d)
    values : list of float
        L_recon before each sweep, and after the last.
    converged : bool
    """
    totals, parts, constants = zip(*cells.gather(summary), strict=True)
    total, moments = sum(totals), merged_moments(parts)
    if moments is not None and len(moments) == 1 and missing is not None:
        c, moment, mass = moments[0]
        moments = [(c, moment + missing, mass)]
    if moments is not None:
        gram = sum(moment for _, moment, _ in moments)
    elif gram is None:
        (gram,) = cells.sum(gram_of)
    X = spectral_start(gram, latent_dim, ridge_x, ridge_y, all(constants)).astype(dtype)

    def one_sweep(X):
        if moments is None:
            sums = cells.sum(partial(sums_of_sweep, X=X, ridge_y=ridge_y))
            return finish_sweep(X, sums, ridge_x, ridge_y)
        return sweep_moments(moments, X, ridge_x, ridge_y)

    return alternate(X, one_sweep, total, max_iter=max_iter, tol=tol)


def alternate(X, one_sweep, total, *, max_iter, tol):
    """Sweeps from X until one lowers the objective by at most the share tol: X in float64, values /
    total, converged.

    What a sweep gains is known at its end: from the best Y for the old X to the best X for that Y.
    Where this gains nothing, both sides are at their optimum.
    """
    values = []
    for _ in range(max_iter):
        X, before, after = one_sweep(X)
        values.append(before / total)
        converged = before - after <= tol * after
        if converged:
            break
    return X.astype(np.float64, copy=False), [*values, after / total], bool(converged)


def spectral_start(gram, latent_dim, ridge_x, ridge_y, exact):
    """X from Z'VZ (m, m): the exact optimum if C is constant and nothing is missing.

    There the optimum keeps the singular vectors of V^(1/2) Z and lowers each singular value by
    sqrt(ridge_x ridge_y). Otherwise values that this would set to zero keep a thousandth of the
    largest, because zero is a fixed point of the sweeps.
    """
    squares, V = np.linalg.eigh(gram)
    singular = np.sqrt(np.maximum(squares[::-1][:latent_dim], 0.0))
    lowest = 0.0 if exact else 1e-3 * (singular[0] or 1.0)
    shrunk = np.maximum(singular - np.sqrt(ridge_x * ridge_y), lowest)
    return V[:, ::-1][:, :latent_dim] * np.sqrt(shrunk * np.sqrt(ridge_y / ridge_x))


# Steps on the rows of one partition.


def cells_of(rows, dtype="float64"):
    """Cells under the label-free confidence."""
    return Cells(rows.Z.astype(dtype, copy=False), rows.C.astype(dtype, copy=False), rows.v)


def label_aware_cells(rows, dtype, **confidence):
    """Cells under the label-aware confidence."""
    C = label_aware_confidence(rows, dtype=dtype, **confidence)
    return Cells(rows.Z.astype(dtype, copy=False), C, rows.v)


def summary(cells):
    """Sum of the confidence, `second_moments`, and whether nothing is missing and all cells have one
    confidence: in one pass.
    """
    C, v = cells.C, cells.v
    total = v.sum() * C.sum() if C.ndim == 1 else np.sum(v @ C)
    return float(total), second_moments(cells.Z, C, v), C.ndim == 1 and np.ptp(C) == 0


def gram_of(cells):
    """Z'VZ."""
    return (second_moment(cells.Z, cells.v),)


def sums_of_sweep(cells, X, ridge_y):
    """`sweep_sums` of the rows."""
    return sweep_sums(cells.Z, cells.C, cells.v, X, ridge_y)
