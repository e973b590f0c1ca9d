"""Alternating least squares: the trainer with closed-form steps, equation (4) of the design."""

import warnings

import numpy as np

from cfens_stack.ensemble.base import BaseCFEnsemble
from cfens_stack.ensemble.confidence import label_aware, mean_one_scale
from cfens_stack.ensemble.training import Solution, is_imbalanced, train_aggregator
from cfens_stack.kernels.ridge import second_moment, second_moments, sweep, sweep_moments

FLOAT32_FROM = 1e-3  # lambda_reg: there reconstructions differ by 1e-4 of their largest entry


class CFEnsembleTrainer(BaseCFEnsemble):
    """The ALS trainer under its own name: `CFEnsemble(trainer="als")` with the number of base
    models stated.

    Parameters are those of `CFEnsemble`, without the ones that only choose or steer another
    trainer.

    Parameters
    ----------
    n_classifiers : int, default=None
        Number of base models; None takes it from R, another number than R's raises.
    latent_dim, rho, lambda_reg, link, smoothing, confidence, use_label_aware_confidence, use_class_weights, \
focal_gamma, aggregator, aggregator_reg, nonnegative, posterior, layout, strict, max_iter, tol,
    dtype, random_state
        See `CFEnsemble`.

    See Also
    --------
    CFEnsemble : The same method with a choice of trainer; lists all learned attributes.

    Examples
    --------
    >>> from cfens_stack import CFEnsembleTrainer
    >>> from cfens_stack.datasets import make_predictions
    >>> data = make_predictions(n_samples=300, n_models=10, random_state=0)
    >>> trainer = CFEnsembleTrainer(n_classifiers=10, latent_dim=4, rho=0.5).fit(data.R, data.y)
    >>> trainer.classifier_factors_.shape
    (10, 4)
    """

    def __init__(
        self,
        n_classifiers=None,
        latent_dim=32,
        rho=0.5,
        *,
        lambda_reg=0.01,
        link="logit",
        smoothing=0.01,
        confidence="uniform",
        use_label_aware_confidence="auto",
        use_class_weights=False,
        focal_gamma=0.0,
        aggregator="weighted",
        aggregator_reg="auto",
        nonnegative=False,
        posterior="natural",
        layout="auto",
        strict=False,
        max_iter=100,
        tol=1e-4,
        dtype="float64",
        random_state=None,
    ):
        self.n_classifiers = n_classifiers
        self.latent_dim = latent_dim
        self.rho = rho
        self.lambda_reg = lambda_reg
        self.link = link
        self.smoothing = smoothing
        self.confidence = confidence
        self.use_label_aware_confidence = use_label_aware_confidence
        self.use_class_weights = use_class_weights
        self.focal_gamma = focal_gamma
        self.aggregator = aggregator
        self.aggregator_reg = aggregator_reg
        self.nonnegative = nonnegative
        self.posterior = posterior
        self.layout = layout
        self.strict = strict
        self.max_iter = max_iter
        self.tol = tol
        self.dtype = dtype
        self.random_state = random_state

    def _train(self, problem):
        return train_als(problem, self)


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
    X, values, converged = train_factors(
        problem.Z.astype(settings.dtype, copy=False),
        training_confidence(problem, settings).astype(settings.dtype, copy=False),
        problem.v,
        min(settings.latent_dim, problem.Z.shape[1]),
        problem.ridge_x,
        problem.ridge_y,
        max_iter=settings.max_iter,
        tol=settings.tol,
    )
    fit, W, b = train_aggregator(problem, X, settings)
    history = {"reconstruction": np.array(values), "supervision": np.array(fit.history)}
    return Solution(
        X, W, b, fit.aggregator_reg, history, len(values) - 1, converged and fit.converged
    )


def warn_of_float32(settings):
    """Warn where sweeps in float32 could lose more than a fit notices (`bench/float32.py`)."""
    if settings.dtype == "float32" and settings.lambda_reg < FLOAT32_FROM:
        warnings.warn(
            f"dtype='float32' with lambda_reg={settings.lambda_reg:g}: sweeps in float32 are "
            f"meant for lambda_reg of 0.01 and more, and lose digits below {FLOAT32_FROM:g}. Use "
            "dtype='float64' or a larger lambda_reg.",
            UserWarning,
            stacklevel=2,
        )


def wants_label_aware(problem, settings):
    """Whether the confidence becomes label-aware: if asked for, or if "auto" and imbalanced.

    Scores outside [0, 1] are no probabilities of the truth, so there it does not apply.
    """
    wanted = settings.use_label_aware_confidence
    if wanted == "auto":
        wanted = is_imbalanced(problem)
    return bool(wanted) and settings.rho < 1 and problem.layout.kind != "scores"


def training_confidence(problem, settings):
    """Confidence under which the model factors are trained: label-aware where wanted, else the
    label-free one.
    """
    if not wants_label_aware(problem, settings):
        return problem.C
    cells = np.where(np.isfinite(problem.R), problem.C, 0.0)
    targets = problem.layout.targets(problem.y)
    C = label_aware(cells, problem.R, targets, problem.labelled, problem.v, settings.rho)
    C *= mean_one_scale(C, problem.v)
    return C


def train_factors(Z, C, v, latent_dim, ridge_x, ridge_y, *, max_iter, tol):
    """Model factors that minimise objective (1), by balanced fused sweeps from a spectral start.

    Parameters
    ----------
    Z : ndarray of shape (n, m)
        Centred predictions, 0 in missing cells. Sweeps have the precision of Z and C, float64 or
        float32.
    C : ndarray of shape (n, m) or (m,)
        Confidence with mean 1 over observed cells, 0 in missing cells.
    v : ndarray of shape (n,)
        Row weights.
    latent_dim : int, at most m
    ridge_x, ridge_y : float, > 0
    max_iter : int
        Limit on the sweeps.
    tol : float
        The sweeps end when one lowers the objective by at most this share of it.

    Returns
    -------
    X : ndarray of shape (m, d)
    values : list of float
        L_recon before each sweep, and after the last.
    converged : bool
    """
    total = np.sum(v @ np.broadcast_to(C, Z.shape))
    moments = second_moments(Z, C, v)
    gram = second_moment(Z, v) if moments is None else sum(moment for _, moment in moments)
    X = spectral_start(
        gram, latent_dim, ridge_x, ridge_y, exact=C.ndim == 1 and np.ptp(C) == 0
    ).astype(Z.dtype)

    def one_sweep(X):
        if moments is None:
            return sweep(Z, C, v, X, ridge_x, ridge_y)
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
    shrunk = np.maximum(
        singular - np.sqrt(ridge_x * ridge_y), 0.0 if exact else 1e-3 * (singular[0] or 1.0)
    )
    return V[:, ::-1][:, :latent_dim] * np.sqrt(shrunk * np.sqrt(ridge_y / ridge_x))
