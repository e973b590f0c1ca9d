"""The PyTorch trainer: one loss, objective (3), and its exact gradient in every parameter; equation
(5) of the design.

"projected": the leaves are the model factors X and the aggregator (w, b); the instance factors are
the fold-in of X, differentiated through (variable projection, Golub and Pereyra 1973). L-BFGS-B
keeps the bounds on w. "free": the instance factors are leaves too, the literal joint objective,
minimised by Adam with a cosine schedule.

Rows go through in chunks, whose gradients add up to that of the whole, so memory is bounded
whatever n is. Nothing of torch stays on the fitted estimator.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize

from cfens_stack.ensemble.als import cells_of, train_factors
from cfens_stack.ensemble.confidence import mean_sums
from cfens_stack.ensemble.objective import joint, row_costs
from cfens_stack.ensemble.rows import identity
from cfens_stack.ensemble.training import Solution, aggregator_columns, train_aggregator
from cfens_stack.kernels.blocks import blocks

CHUNK_ROWS = 8192
LEARNING_RATE = 0.02
ADAM_STEPS_PER_ITER = (
    5  # Adam needs more steps than L-BFGS has iterations: max_iter counts five of them
)
PATIENCE = 25  # Adam steps without a relative improvement of tol before it stops


def train_pytorch(problem, settings):
    """Model factors and aggregator by gradients of objective (3), from the ALS factors.

    The aggregator is then re-fitted on the fold-in factors of the labelled rows: at convergence of
    "projected" and a fixed aggregator_reg that changes nothing; "free" needs it, because free
    instance factors memorise labels (mistake 4). The strength stays that of the ALS factors: on
    factors that have been fitted to the labels, the evidence would trust those labels too much.

    Parameters
    ----------
    problem : Problem
    settings : CFEnsemblePyTorchTrainer or CFEnsemble
        Read for its parameters.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        If label-aware confidence is asked for.
    """
    if settings.use_label_aware_confidence is True:
        raise ValueError(
            "use_label_aware_confidence=True does not apply to the PyTorch trainer: it weighs "
            "cells by the labels where a closed form has no gradient of the supervision, and "
            "here the gradient is exact. Use trainer='als', or use_label_aware_confidence='auto' "
            "or False."
        )
    find_device(settings.device)  # an error now, not after the factors
    limits = {"max_iter": settings.max_iter, "tol": settings.tol}
    latent_dim = min(settings.latent_dim, problem.n_columns)
    cells = problem.rows.map(cells_of)
    X, _, _ = train_factors(cells, latent_dim, problem.ridge_x, problem.encoder.ridge, **limits)
    start, *_ = train_aggregator(problem, X, settings)
    loss = JointLoss(problem, settings, start.aggregator_reg)
    theta = np.append(start.w, start.b) if settings.aggregator == "weighted" else np.empty(0)
    minimiser = _projected if settings.instance_factors == "projected" else _free
    X, converged, n_iter = minimiser(loss, X, theta, **limits)
    fit, W, b, base = train_aggregator(problem, X, settings, start.aggregator_reg)
    history = {name: np.array(values) for name, values in loss.history.items()}
    return Solution(X, W, b, base, fit.aggregator_reg, history, n_iter, converged and fit.converged)


@dataclass(frozen=True, eq=False)
class Tensors:
    """Rows of one partition on the device: Z, C, v and y of `Rows`; share of each row in (2)."""

    Z: Any
    C: Any
    v: Any
    y: Any
    share: Any

    def take(self, rows):
        """A slice of the rows."""
        C = self.C if self.C.ndim == 1 else self.C[rows]
        return Tensors(self.Z[rows], C, self.v[rows], self.y[rows], self.share[rows])


class JointLoss:
    """Objective (3) and its gradient in X, theta = (w, b) and, if they are free, the instance
    factors: sums over rows, on the engine where they are.

    Parameters
    ----------
    problem : Problem
    settings : estimator
        Read for `rho`, `focal_gamma`, `device` and `dtype`.
    aggregator_reg : float

    Attributes
    ----------
    history : dict of str to list
        The objective and its two parts at the start and after every iteration.
    """

    def __init__(self, problem, settings, aggregator_reg):
        self.nonnegative = problem.nonnegative
        self.rho = settings.rho
        self.history: dict = {"objective": [], "reconstruction": [], "supervision": []}
        source, target, w0, b0 = aggregator_columns(problem)
        self.w0, self.fixed = w0, np.append(w0, b0)
        self.total = sum(problem.rows.gather(confidence_total))
        self.ridge_x = problem.ridge_x
        reg = aggregator_reg if np.isfinite(aggregator_reg) else 0.0
        self.strength = reg / problem.mass.sum() / problem.n_scores
        self.options = {"device": str(find_device(settings.device)), "dtype": settings.dtype}
        self.terms = RowTerms(
            rho=settings.rho,
            gamma=settings.focal_gamma,
            ridge_y=problem.encoder.ridge,
            total=self.total,
            gain=problem.encoder.scale * problem.gain,
            source=source,
            target=target,
        )
        mass = problem.class_weights @ problem.mass
        self.parts = problem.rows.map(
            partial(to_tensors, class_weights=problem.class_weights / mass, **self.options)
        )

    def value_and_gradient(self, X, theta):
        """Value of (3), its two parts, and its gradient in X (q, d) and theta (p + S,) or (0,)."""
        used = theta if len(theta) else self.fixed
        sums = self.parts.sum(partial(gradient_sums, terms=self.terms, X=X, theta=used))
        recon, sup, gradient_X, gradient_theta = sums
        recon += self.ridge_x * np.sum(X**2) / self.total
        deviation = used[: len(self.w0)] - self.w0
        sup += 0.5 * self.strength * deviation @ deviation
        gradient_X = gradient_X + 2.0 * self.rho * self.ridge_x * X / self.total
        gradient_theta = gradient_theta.copy()
        gradient_theta[: len(self.w0)] += (1.0 - self.rho) * self.strength * deviation
        value = joint(recon, sup, self.rho)
        return value, (recon, sup), gradient_X, gradient_theta[: len(theta)]

    def record(self, value, parts):
        """Append one point to the history."""
        for name, number in zip(self.history, (value, *parts), strict=True):
            self.history[name].append(float(number))


@dataclass(frozen=True, eq=False)
class RowTerms:
    """The terms of (3) that belong to rows; symbols of `training` and `aggregator`."""

    rho: float
    gamma: float
    ridge_y: float
    total: float
    gain: np.ndarray
    source: np.ndarray
    target: np.ndarray

    def __call__(self, part, X, theta, Y=None):
        """L_recon and L_sup of the rows as tensors; Y folds in where None."""
        torch = import_torch()
        source, target = (torch.as_tensor(a, device=X.device) for a in (self.source, self.target))
        gain = torch.as_tensor(self.gain, dtype=X.dtype, device=X.device)
        if Y is None:
            Y = torch_fold_in(part.Z, part.C, X, self.ridge_y)
        recon = (part.v * row_costs(part.Z, part.C, X, Y, self.ridge_y)).sum() / self.total
        p = len(source)
        loadings = (gain[source, None] * X[source] * theta[:p, None]).T
        V = loadings.new_zeros(len(loadings), len(theta) - p).index_add(1, target, loadings)
        losses = torch_focal_loss(Y @ V + theta[p:], part.y, self.gamma)
        return recon, (part.share * losses).sum()


def confidence_total(rows):
    """Sum of the confidence over the rows."""
    return mean_sums(rows.C, rows.v)[1]


def to_tensors(rows, class_weights, device, dtype):
    """Rows on the device, in the precision of the training."""
    torch = import_torch()
    options = {"device": device, "dtype": getattr(torch, dtype)}
    share = np.where(rows.y >= 0, rows.v * class_weights[rows.y], 0.0)
    Z, C, v, share = (torch.tensor(a, **options) for a in (rows.Z, rows.C, rows.v, share))
    return Tensors(Z, C, v, torch.as_tensor(rows.y, device=device), share)


def gradient_sums(part, terms, X, theta):
    """L_recon and L_sup of the rows, and the gradient of (3) in X and theta, chunk by chunk."""
    torch = import_torch()
    options = {"device": part.Z.device, "dtype": part.Z.dtype}
    X, theta = (torch.tensor(array, **options).requires_grad_() for array in (X, theta))
    recon = sup = 0.0
    for rows in blocks(len(part.Z), CHUNK_ROWS):
        chunk = terms(part.take(rows), X, theta)
        joint(chunk[0], chunk[1], terms.rho).backward()
        recon, sup = recon + chunk[0].item(), sup + chunk[1].item()
    gradients = (np.zeros(a.shape) if a.grad is None else a.grad.cpu().numpy() for a in (X, theta))
    return recon, sup, *(gradient.astype(np.float64) for gradient in gradients)


def torch_fold_in(Z, C, X, ridge_y):
    """Closed-form instance factors (4) as a differentiable function of X: tensor of shape (n,
    d).
    """
    torch = import_torch()
    ridge = ridge_y * torch.eye(X.shape[1], dtype=X.dtype, device=X.device)
    right = (C * Z) @ X
    if C.ndim == 1:
        return torch.cholesky_solve(right.T, torch.linalg.cholesky((X.T * C) @ X + ridge)).T
    A = torch.einsum("bu,uk,ul->bkl", C, X, X) + ridge
    return torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(A))[:, :, 0]


def torch_focal_loss(scores, y, gamma):
    """(1 - p_t)^gamma CE of each row with sigmoid (one score) or softmax; any value for unlabelled
    rows. Shape (n,).
    """
    torch = import_torch()
    if scores.shape[1] == 1:
        u = torch.where(y == 1, scores[:, 0], -scores[:, 0])
        log_p, log_q = torch.nn.functional.logsigmoid(u), torch.nn.functional.logsigmoid(-u)
    else:
        log_P = torch.log_softmax(scores, dim=1)
        codes = y.clamp(min=0)[:, None]
        log_p = log_P.gather(1, codes)[:, 0]
        log_q = log_P.scatter(1, codes, -torch.inf).logsumexp(
            dim=1
        )  # log(1 - p_t) without cancellation
    return -log_p if gamma == 0 else -torch.exp(gamma * log_q) * log_p


def _projected(loss, X, theta, *, max_iter, tol):
    """L-BFGS-B over X and theta: (X, converged, number of iterations)."""
    size, p = X.size, len(loss.w0)
    latest: dict = {}

    def evaluate(flat):
        value, parts, *gradient = loss.value_and_gradient(flat[:size].reshape(X.shape), flat[size:])
        latest.update(value=value, parts=parts)
        if not loss.history["objective"]:
            loss.record(value, parts)
        return value, np.append(*gradient)

    lower = np.full(size + len(theta), -np.inf)
    if loss.nonnegative and len(theta):
        lower[size : size + p] = 0.0
    result = minimize(
        evaluate,
        np.append(X, theta),
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(lower, np.inf),
        callback=lambda intermediate_result: loss.record(latest["value"], latest["parts"]),
        options={"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": 0.01 * tol, "gtol": 1e-8},
    )
    # Status 2 is a line search that ends in rounding, at the optimum or not.
    slope = np.abs(result.x - np.maximum(result.x - result.jac, lower)).max()
    converged = result.status == 0 or slope <= 1e-5
    return result.x[:size].reshape(X.shape), converged, int(result.nit)


def _free(loss, X, theta, *, max_iter, tol):
    """Adam over X, theta and the instance factors, the best state kept: (X, converged, number of
    steps).
    """
    torch = import_torch()
    (part,) = loss.parts.gather(identity)  # free instance factors are fitted in memory only
    options = {"device": part.Z.device, "dtype": part.Z.dtype}
    p, fixed = len(loss.w0), torch.tensor(loss.fixed, **options)
    w0 = fixed[:p]
    X, theta = (torch.tensor(array, **options).requires_grad_() for array in (X, theta))
    with torch.no_grad():
        Y = torch.cat(
            [
                torch_fold_in(chunk.Z, chunk.C, X, loss.terms.ridge_y)
                for chunk in map(part.take, blocks(len(part.Z), CHUNK_ROWS))
            ]
        )
    Y.requires_grad_()
    steps = ADAM_STEPS_PER_ITER * max_iter
    adam = torch.optim.Adam([X, theta, Y], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    best, best_X, improved = np.inf, X, 0
    for step in range(steps):
        adam.zero_grad()
        used = theta if len(theta) else fixed
        recon, sup = loss.terms(part, X, used, Y)
        recon = recon + loss.ridge_x * (X**2).sum() / loss.total
        sup = sup + 0.5 * loss.strength * ((used[:p] - w0) ** 2).sum()
        total = joint(recon, sup, loss.rho)
        total.backward()
        value = total.item()
        loss.record(value, (recon.item(), sup.item()))
        if value < best - 0.1 * tol * abs(best if np.isfinite(best) else 0.0):
            improved = step
        if value < best:
            best, best_X = value, X.detach().clone()
        stalled = step - improved >= PATIENCE
        if stalled:
            break
        # Adam's epsilon must not see how many copies of itself a row stands for.
        Y.grad /= part.v[:, None]
        adam.step()
        schedule.step()
        if loss.nonnegative and len(theta):
            with torch.no_grad():
                theta[:p].clamp_(min=0.0)
    return best_X.cpu().numpy().astype(np.float64), stalled, step + 1


def find_device(device):
    """The torch device meant by `device`.

    Raises
    ------
    ValueError
        If it is not there.
    """
    torch = import_torch()
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={device!r} is not available here ({str(error).splitlines()[0]}). Use 'auto', "
            "'cpu', or a CUDA device that torch.cuda finds."
        ) from error


def import_torch():
    """Torch, or an ImportError that names the extra."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "The PyTorch trainer needs torch, which is not installed: pip install "
            "'cfens_stack[torch]', or use trainer='als'."
        ) from error
    return torch
