"""Generated predictions of base models with correlated errors and a known posterior."""

from numbers import Integral, Real

import numpy as np
from scipy.special import softmax
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

_NONNEGATIVE = [Interval(Real, 0, None, closed="left")]


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_models": [Interval(Integral, 1, None, closed="left")],
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "weights": ["array-like", None],
        "n_families": [Interval(Integral, 1, None, closed="left")],
        "signal": [Interval(Real, 0, None, closed="neither")],
        "noise": _NONNEGATIVE,
        "skill_spread": _NONNEGATIVE,
        "correlation_within": [Interval(Real, 0, 1, closed="both")],
        "correlation_between": [Interval(Real, 0, 1, closed="both")],
        "difficulty": _NONNEGATIVE,
        "miscalibration": _NONNEGATIVE,
        "missing": [Interval(Real, 0, 1, closed="left")],
        "missing_pattern": [StrOptions({"cells", "family"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_predictions(
    n_samples=1000,
    n_models=12,
    n_classes=2,
    *,
    weights=None,
    n_families=4,
    signal=3.0,
    noise=2.5,
    skill_spread=0.7,
    correlation_within=0.7,
    correlation_between=0.4,
    difficulty=0.5,
    miscalibration=0.5,
    missing=0.0,
    missing_pattern="cells",
    random_state=None,
):
    """Generate out-of-fold predictions of base models with correlated errors, and the true posterior.

    With K classes, models u of families g(u), and N for independent standard normal draws::

      (1) log-odds      eta_ik = c_k + signal N_ik / sqrt(2); c gives the classes their `weights`
      (2) labels        y_i ~ softmax(eta_i), the `posterior`
      (3) difficulty    h_i = exp(difficulty N_i - difficulty^2), so that E h_i^2 = 1; the same
                        for all models
      (4) errors        e_uik = h_i (sqrt(between) N_ik + sqrt(within - between) N_g(u)ik
                                     + sqrt(1 - within) s_u N_uik), s_u = exp(skill_spread N_u):
                        errors of all models, of the family, and of the model itself
      (5) observation   z_uik = eta_ik + noise e_uik / sqrt(2);
                        skill_u = signal^2 / (signal^2 + noise_u^2),
                        noise_u^2 = noise^2 (within + (1 - within) s_u^2)
      (6) prediction    r_ui = softmax(slope_u kappa_u (c + skill_u (z_ui - c)) + shift_u),
                        slope_u = exp(miscalibration N_u),  shift_uk = miscalibration N_uk / sqrt(2)

    In (6), skill_u shrinks z to the mean of eta given z, and kappa_u = (1 + pi signal^2 (1 -
    skill_u) / 8)^(-1/2) leads to the mean probability (MacKay 1992): without `miscalibration`
    and `difficulty` each model is calibrated, up to the approximation behind kappa. A slope above 1
    means overconfidence, and so does difficulty for hard instances.

    Errors of all models do not average out, so the plain average stays well short of the posterior,
    and no contrast of models cancels them. Errors of a family average out over families only, and
    large families outvote small ones. The defaults were set to resemble base models on KEEL's
    harder sets in how their log-odds correlate within a class.

    Parameters
    ----------
    n_samples : int, default=1000
        Number n of instances.
    n_models : int, default=12
        Number m of base models.
    n_classes : int, default=2
        Number K of classes.
    weights : array-like of shape (K,), default=None
        Share of each class, positive, sum 1. None: falling geometrically from class 0 to a ninth of
        it in class K - 1, which is (0.9, 0.1) for two classes.
    n_families : int, default=4
        Number of model families; m if that is less. Family g has a share proportional to 1 / (g +
        1) of the models.
    signal : float, default=3.0
        Standard deviation, over instances, of the true log-odds between two classes; > 0. How far
        the classes can be told apart at all.
    noise : float, default=2.5
        Standard deviation of a typical model's error in the same unit; >= 0.
    skill_spread : float, default=0.7
        Standard deviation of log s_u over models; >= 0.
    correlation_within : float, default=0.7
    correlation_between : float, default=0.4
        Correlation of the errors of two models of one family, and of two families, if s_u = 1 for
        both; 0 <= between <= within <= 1.
    difficulty : float, default=0.5
        How much instances differ in difficulty; 0 makes them equally hard.
    miscalibration : float, default=0.5
        Standard deviation of log slopes and shifts over models; >= 0.
    missing : float, default=0.0
        Share of the predictions that is missing, in [0, 1).
    missing_pattern : {"cells", "family"}, default="cells"
        "cells": (instance, model) pairs at random. "family": for each family a random subset of the
        instances, as when models need a modality that not every instance has. Both leave instances
        without a prediction if `missing` is large.
    random_state : int, RandomState instance or None, default=None
        Seed. None takes new entropy and leaves NumPy's global generator alone.

    Returns
    -------
    bunch : `~sklearn.utils.Bunch`
        R : ndarray of shape (n, m), or (n, m K) if K > 2
            Predicted probabilities of class 1, or of all classes, model-major (model 0's K columns
            first). NaN where missing.
        y : ndarray of int, shape (n,)
            Classes 0 to K - 1.
        posterior : ndarray of shape (n, K)
            True class probabilities of each instance: no prediction can be better.
        family : ndarray of int, shape (m,)
            g(u) of each model.
        skill : ndarray of shape (m,)
            Squared correlation between z_u and eta, in (0, 1].
        slope : ndarray of shape (m,)
            slope_u of equation (6).
        shift : ndarray of shape (m, K)
            shift_uk of equation (6).

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    References
    ----------
    D. J. C. MacKay (1992). The evidence framework applied to classification networks. Neural
    Computation 4(5), 720-736.

    Examples
    --------
    >>> from cfens_stack.datasets import make_predictions
    >>> data = make_predictions(500, 8, missing=0.25, random_state=0)
    >>> data.R.shape, data.posterior.shape
    ((500, 8), (500, 2))
    >>> float(np.isnan(data.R).mean())
    0.25
    """
    if correlation_between > correlation_within:
        raise ValueError(
            f"Got correlation_between={correlation_between}, but errors cannot be more correlated "
            "across families than within them: expected at most "
            f"correlation_within={correlation_within}."
        )
    weights = _check_weights(weights, n_classes)
    rng = np.random.RandomState() if random_state is None else check_random_state(random_state)

    t = signal * rng.standard_normal((n_samples, n_classes)) / np.sqrt(2)
    c = _intercepts(t, weights)
    posterior = softmax(c + t, axis=1)
    y = (rng.random_sample((n_samples, 1)) > posterior.cumsum(axis=1)[:, :-1]).sum(axis=1)

    family = _families(n_models, min(n_families, n_models))
    own = np.exp(skill_spread * rng.standard_normal(n_models))
    shares = (correlation_between, correlation_within - correlation_between, 1 - correlation_within)
    errors = noise / np.sqrt(2) * _correlated_errors(rng, t.shape, family, shares, own, difficulty)
    skill = signal**2 / (signal**2 + noise**2 * (correlation_within + shares[2] * own**2))
    kappa = (1 + np.pi * signal**2 * (1 - skill) / 8) ** -0.5
    slope = np.exp(miscalibration * rng.standard_normal(n_models))
    shift = miscalibration * rng.standard_normal((n_models, n_classes)) / np.sqrt(2)
    # Shapes are (n, m, K) from here: equations (5) and (6).
    R = softmax(
        (slope * kappa)[:, None] * (c + skill[:, None] * (t[:, None] + errors)) + shift, axis=2
    )
    R[_missing_cells(rng, n_samples, family, missing, missing_pattern)] = np.nan
    return Bunch(
        R=R[:, :, 1] if n_classes == 2 else R.reshape(n_samples, -1),
        y=y,
        posterior=posterior,
        family=family,
        skill=skill,
        slope=slope,
        shift=shift,
    )


def _check_weights(weights, n_classes):
    if weights is None:
        geometric = 9.0 ** -(np.arange(n_classes) / (n_classes - 1))
        return geometric / geometric.sum()
    shares = np.asarray(weights, dtype=float)
    if shares.shape != (n_classes,) or not (shares > 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(
            f"Got weights={weights!r}, but expected n_classes={n_classes} positive shares that "
            "sum to 1."
        )
    return shares


def _intercepts(t, weights):
    """c of equation (1): the mean of softmax(c + t) over rows is `weights`, by fixed-point
    iteration.
    """
    c = np.log(weights)
    for _ in range(1000):
        step = np.log(weights / softmax(c + t, axis=1).mean(axis=0))
        c += step
        if np.abs(step).max() < 1e-10:
            break
    return c


def _families(n_models, n_families):
    """Family of each model, in order; sizes proportional to 1 / (g + 1), at least one."""
    share = 1 / np.arange(1, n_families + 1)
    bounds = np.cumsum(share[:-1]) / share.sum() * (n_models - n_families)
    sizes = 1 + np.diff(np.rint(bounds).astype(int), prepend=0, append=n_models - n_families)
    return np.repeat(np.arange(n_families), sizes)


def _correlated_errors(rng, shape, family, shares, own, difficulty):
    """Equations (3) and (4): errors of models of typical skill have variance 1. Shape (n, m, K)."""
    n_samples, n_classes = shape
    h = np.exp(difficulty * rng.standard_normal((n_samples, 1, 1)) - difficulty**2)
    of_all = rng.standard_normal((n_samples, 1, n_classes))
    of_family = rng.standard_normal((n_samples, family.max() + 1, n_classes))[:, family]
    of_model = rng.standard_normal((n_samples, len(family), n_classes)) * own[:, None]
    return h * sum(
        np.sqrt(share) * part
        for share, part in zip(shares, (of_all, of_family, of_model), strict=True)
    )


def _missing_cells(rng, n_samples, family, share, pattern):
    """Mask (n, m): a random `share` of all cells, or of the rows of each family; exact but for
    rounding.
    """
    if pattern == "family":
        rank = rng.random_sample((n_samples, family.max() + 1)).argsort(axis=0)
        return (rank < round(share * n_samples))[:, family]
    n_cells = n_samples * len(family)
    return rng.permutation(n_cells).reshape(n_samples, -1) < round(share * n_cells)
