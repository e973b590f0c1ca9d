"""Objective (3) in PyTorch with its gradient: sums over rows, on the engine where they are.

Rows go through in chunks, whose gradients add up to that of the whole, so memory is bounded
whatever n is. This is the only file that imports torch.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cfens_stack.ensemble.confidence import mean_sums
from cfens_stack.ensemble.damping import damping_of
from cfens_stack.ensemble.labelled_factors import link_scale_weights
from cfens_stack.ensemble.newton import common_penalty
from cfens_stack.ensemble.objective import joint, row_costs
from cfens_stack.ensemble.prior import pair
from cfens_stack.ensemble.training import aggregator_columns, base_scores
from cfens_stack.kernels.blocks import blocks
from cfens_stack.kernels.ridge import shared_solution

CHUNK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Tensors:
    """Rows of one partition on the device: Z, C, v and y of `Rows`; share of each row in (2); kappa
    and t of (6a), 1 and 0 in complete rows.
    """

    Z: Any
    C: Any
    v: Any
    y: Any
    share: Any
    kappa: Any
    t: Any

    def take(self, rows):
        """A slice of the rows."""
        C = self.C if self.C.ndim == 1 else self.C[rows]
        others = (self.v, self.y, self.share, self.kappa, self.t)
        return Tensors(self.Z[rows], C, *(values[rows] for values in others))


class JointLoss:
    """Objective (3) and its gradient in X, theta = (w, b) and, if they are free, the instance
    factors: sums over rows, on the engine where they are.

    Parameters
    ----------
    problem : Problem
    settings : estimator
        Read for `rho`, `focal_gamma`, `device` and `dtype`.
    strength : float or pair of floats
    X : ndarray of shape (q, d)
    w : ndarray of shape (p,)
        Factors and weights that rows with missing cells are damped by, throughout.

    Attributes
    ----------
    history : dict of str to list
        The objective and its two parts at the start and after every iteration.
    """

    def __init__(self, problem, settings, strength, X, w):
        self.nonnegative = problem.nonnegative
        self.rho = settings.rho
        self.history: dict = {"objective": [], "reconstruction": [], "supervision": []}
        columns = source, target, w0, b0 = aggregator_columns(problem)
        self.w0, self.fixed = w0, np.append(w0, b0)
        self.missing = problem.missing_moment
        self.total = sum(problem.rows.gather(confidence_total))
        self.ridge_x = problem.ridge_x
        self.n_labelled, self.n_scores = problem.mass.sum(), problem.n_scores
        self.common, reg = pair(strength)
        reg = reg if np.isfinite(reg) else 0.0
        self.strength = reg / self.n_labelled / self.n_scores
        self.options = {"device": str(find_device(settings.device)), "dtype": settings.dtype}
        self.terms = RowTerms(
            rho=settings.rho,
            gamma=settings.focal_gamma,
            ridge_y=problem.encoder.ridge,
            total=self.total,
            gain=problem.encoder.scale * problem.gain,
            source=source,
            target=target,
            base=base_scores(problem, problem.class_weights * problem.mass, settings.focal_gamma),
        )
        damping = None
        if problem.changes and settings.aggregator == "weighted":
            damping = damping_of(problem.encoder, X, link_scale_weights(problem, columns, w))
        class_weights = problem.class_weights / (problem.class_weights @ problem.mass)
        self.parts = problem.rows.map(
            partial(to_tensors, class_weights=class_weights, damping=damping, **self.options)
        )

    def value_and_gradient(self, X, theta):
        """Value of (3), its two parts, and its gradient in X (q, d) and theta (p + S,) or (0,)."""
        used = theta if len(theta) else self.fixed
        sums = self.parts.sum(partial(gradient_sums, terms=self.terms, X=X, theta=used))
        recon, sup, gradient_X, gradient_theta = sums
        recon += self.ridge_x * np.sum(X**2) / self.total
        if self.missing is not None:
            cost, gradient = missing_cost(X, self.missing, self.terms.ridge_y)
            recon += cost / self.total
            gradient_X = gradient_X + self.rho * gradient / self.total
        deviation = used[: len(self.w0)] - self.w0
        sup += 0.5 * self.strength * deviation @ deviation
        gradient_X = gradient_X + 2.0 * self.rho * self.ridge_x * X / self.total
        gradient_theta = gradient_theta.copy()
        gradient_theta[: len(self.w0)] += (1.0 - self.rho) * self.strength * deviation
        if self.common is not None:
            S, common = self.n_scores, self.common / self.n_labelled
            cost, slope, _ = common_penalty(deviation, S, S * self.strength, common)
            sup += cost
            gradient_theta[: len(self.w0)] += (1.0 - self.rho) * slope
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
    base: np.ndarray

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
        base = torch.as_tensor(self.base, dtype=X.dtype, device=X.device)
        kappa, t = part.kappa[:, None], part.t[:, None]
        scores = kappa * (Y @ V) + (1.0 - t) * theta[p:] + t * base
        return recon, (part.share * torch_focal_loss(scores, part.y, self.gamma)).sum()


def confidence_total(rows):
    """Sum of the confidence over the rows."""
    return mean_sums(rows.C, rows.v)[1]


def to_tensors(rows, class_weights, damping, device, dtype):
    """Rows on the device, in the precision of the training."""
    torch = import_torch()
    options = {"device": device, "dtype": getattr(torch, dtype)}
    share = np.where(rows.y >= 0, rows.v * class_weights[rows.y], 0.0)
    damped = None if damping is None else damping(rows.observed_confidence())
    kappa, t = (np.ones(len(share)), np.zeros(len(share))) if damped is None else damped
    arrays = (rows.Z, rows.C, rows.v, share, kappa, t)
    Z, C, v, share, kappa, t = (torch.tensor(array, **options) for array in arrays)
    return Tensors(Z, C, v, torch.as_tensor(rows.y, device=device), share, kappa, t)


def missing_cost(X, moment, ridge):
    """What the uncertainty of filled cells adds to the least cost of (1) over Y, and its gradient.

    For complete rows z of confidence 1, that cost is |z - X y|^2 + ridge |y|^2 at y = K z with
    K = (X'X + ridge I)^-1 X', which is z' (I - X K) z. So moments V of z add trace(V (I - X K)), and
    by the envelope theorem the gradient is -2 (I - X K) V K'.
    """
    K = shared_solution(np.ones(len(X)), X, ridge)
    rest = moment - X @ (K @ moment)
    return float(np.trace(rest)), -2.0 * rest @ K.T


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
    """Closed-form instance factors (4) as a differentiable function of X: tensor of shape (n, d).

    Differentiated implicitly: with A y = X'Dz, A = X'DX + ridge I and u = A^-1 g for the gradient g
    in y, a change of X gives u'(dA y) and u'(dX'Dz), so that the gradient in x_u is
    sum_i c_ui ((z_ui - x_u . y_i) u_i - (x_u . u_i) y_i): one more solve with the same matrix.
    """
    torch = import_torch()

    class FoldIn(torch.autograd.Function):  # type: ignore[name-defined]
        @staticmethod
        def forward(ctx, X):
            ridge = ridge_y * torch.eye(X.shape[1], dtype=X.dtype, device=X.device)
            right = (C * Z) @ X
            products = (X[:, :, None] * X[:, None, :]).flatten(1)
            A = (C @ products).view(*C.shape[:-1], *ridge.shape)
            factor = torch.linalg.cholesky(A + ridge)
            Y = solve(factor, right)
            ctx.save_for_backward(X, Y, factor)
            return Y

        @staticmethod
        def backward(ctx, gradient):
            X, Y, factor = ctx.saved_tensors
            U = solve(factor, gradient)
            return (C * (Z - Y @ X.T)).T @ U - (C * (U @ X.T)).T @ Y

    def solve(factor, right):
        if C.ndim == 1:
            return torch.cholesky_solve(right.T, factor).T
        return torch.cholesky_solve(right[:, :, None], factor)[:, :, 0]

    return FoldIn.apply(X)


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
