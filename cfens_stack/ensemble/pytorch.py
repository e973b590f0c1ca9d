"""The PyTorch trainer: one loss, objective (3), and its exact gradient in every parameter; equation
(5) of the design.

"projected": the leaves are the model factors X and the aggregator (w, b); the instance factors are
the fold-in of X, differentiated through (variable projection, Golub and Pereyra 1973). L-BFGS-B
keeps the bounds on w. "free": the instance factors are leaves too, the literal joint objective,
minimised by Adam with a cosine schedule.

Rows go through in chunks, whose gradients add up to that of the whole, so memory is bounded
whatever n is. Nothing of torch stays on the fitted estimator.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize

from cfens_stack.ensemble.als import train_factors
from cfens_stack.ensemble.base import BaseCFEnsemble
from cfens_stack.ensemble.objective import joint
from cfens_stack.ensemble.training import Problem, Solution, aggregator_columns, train_aggregator
from cfens_stack.kernels.blocks import blocks
from cfens_stack.kernels.ridge import fold_in

CHUNK_ROWS = 8192
LEARNING_RATE = 0.02
ADAM_STEPS_PER_ITER = (
    5  # Adam needs more steps than L-BFGS has iterations: max_iter counts five of them
)
PATIENCE = 25  # Adam steps without a relative improvement of tol before it stops


class CFEnsemblePyTorchTrainer(BaseCFEnsemble):
    """The PyTorch trainer under its own name: `CFEnsemble(trainer="pytorch")` with the number of
    base models stated.

    Class weights and focal factor are part of the one loss, so they reach the factors and the
    aggregator alike.

    Parameters
    ----------
    n_classifiers : int, default=None
        Number of base models; None takes it from R, another number than R's raises.
    use_label_aware_confidence : bool, default=False
        True raises: label-aware confidence stands in for a gradient that ALS does not have, and
        this trainer has it.
    instance_factors : {"projected", "free"}, default="projected"
        Instance factors by fold-in, differentiated through, or as parameters of their own.
    device : str, default="auto"
        "auto" is CUDA where present, else the CPU; or a torch device such as "cpu" or "cuda:1".
    dtype : {"float64", "float32"}, default="float64"
        Precision of the training.
    latent_dim, rho, lambda_reg, link, smoothing, confidence, use_class_weights, focal_gamma, aggregator, \
aggregator_reg, nonnegative, posterior, layout, strict, max_iter, tol, random_state
        See `CFEnsemble`.

    See Also
    --------
    CFEnsemble : The same method with a choice of trainer; lists all learned attributes.
    CFEnsembleTrainer : Closed-form steps instead of gradients.

    Examples
    --------
    >>> from cfens_stack import CFEnsemblePyTorchTrainer
    >>> from cfens_stack.datasets import make_predictions
    >>> data = make_predictions(n_samples=300, n_models=10, random_state=0)
    >>> trainer = CFEnsemblePyTorchTrainer(n_classifiers=10, latent_dim=4, rho=0.5).fit(data.R, data.y)
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
        use_label_aware_confidence=False,
        use_class_weights=False,
        focal_gamma=0.0,
        aggregator="weighted",
        aggregator_reg="auto",
        nonnegative=False,
        posterior="natural",
        layout="auto",
        instance_factors="projected",
        strict=False,
        max_iter=100,
        tol=1e-4,
        device="auto",
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
        self.instance_factors = instance_factors
        self.strict = strict
        self.max_iter = max_iter
        self.tol = tol
        self.device = device
        self.dtype = dtype
        self.random_state = random_state

    def _train(self, problem):
        return train_pytorch(problem, self)


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
    latent_dim = min(settings.latent_dim, problem.Z.shape[1])
    X, _, _ = train_factors(
        problem.Z, problem.C, problem.v, latent_dim, problem.ridge_x, problem.ridge_y, **limits
    )
    start, _, _ = train_aggregator(problem, X, settings)
    loss = JointLoss(problem, settings, start.aggregator_reg)
    theta = np.append(start.w, start.b) if settings.aggregator == "weighted" else np.empty(0)
    minimiser = _projected if settings.instance_factors == "projected" else _free
    X, converged, n_iter = minimiser(loss, X, theta, **limits)
    fit, W, b = train_aggregator(problem, X, settings, start.aggregator_reg)
    history = {name: np.array(values) for name, values in loss.history.items()}
    return Solution(X, W, b, fit.aggregator_reg, history, n_iter, converged and fit.converged)


@dataclass
class JointLoss:
    """Objective (3) as a torch function of X, theta = (w, b) and, if they are free, the instance
    factors.

    `history` records the objective and its two parts at the start and after every iteration.
    """

    problem: Problem
    settings: Any
    aggregator_reg: float
    history: dict = field(
        default_factory=lambda: {"objective": [], "reconstruction": [], "supervision": []}
    )

    def __post_init__(self):
        torch = import_torch()
        problem, settings = self.problem, self.settings
        self.options = {
            "device": find_device(settings.device),
            "dtype": getattr(torch, settings.dtype),
        }
        self.Z, self.C, self.v = (self.tensor(array) for array in (problem.Z, problem.C, problem.v))
        self.y = torch.as_tensor(problem.y, device=self.options["device"])
        share = np.zeros(len(problem.y))
        share[problem.labelled] = problem.s / problem.s.sum()
        self.share = self.tensor(share)
        source, target, w0, b0 = aggregator_columns(problem)
        self.source, self.target = (
            torch.as_tensor(a, device=self.options["device"]) for a in (source, target)
        )
        self.gain = self.tensor(problem.scale * problem.gain)
        self.w0, self.fixed = self.tensor(w0), self.tensor(np.append(w0, b0))
        self.total = float(problem.v @ np.broadcast_to(problem.C, problem.Z.shape).sum(axis=1))
        reg = self.aggregator_reg if np.isfinite(self.aggregator_reg) else 0.0
        self.strength = reg / problem.v[problem.labelled].sum() / problem.n_scores

    def tensor(self, array):
        """A copy on the device, in the precision of the training."""
        return import_torch().tensor(array, **self.options)

    def backward(self, X, theta, Y=None):
        """Value of (3) and its two parts; gradients are added to the leaves, chunk by chunk.

        Parameters
        ----------
        X : tensor of shape (q, d)
        theta : tensor of shape (p + S,) or (0,)
            Empty for the plain average.
        Y : tensor of shape (n, d), default=None
            Free instance factors; None folds them in.
        """
        rho = self.settings.rho
        recon, sup = self._shared_terms(X, theta)
        self._back(joint(recon, sup, rho))
        parts = np.array([recon.item(), sup.item()])
        for rows in blocks(len(self.Z), CHUNK_ROWS):
            recon, sup = self._chunk(rows, X, theta, None if Y is None else Y[rows])
            self._back(joint(recon, sup, rho))
            parts += recon.item(), sup.item()
        return joint(parts[0], parts[1], rho), parts

    def record(self, value, parts):
        """Append one point to the history."""
        for name, number in zip(self.history, (value, *parts), strict=True):
            self.history[name].append(float(number))

    @staticmethod
    def _back(loss):
        if loss.requires_grad:
            loss.backward()

    def _shared_terms(self, X, theta):
        """The penalties on X and w, which belong to no row."""
        recon = self.problem.ridge_x * (X**2).sum() / self.total
        deviation = (theta if len(theta) else self.fixed)[: len(self.w0)] - self.w0
        return recon, 0.5 * self.strength * (deviation**2).sum()

    def _chunk(self, rows, X, theta, Y):
        """The parts of (3) that the rows of one chunk contribute."""
        Z, v = self.Z[rows], self.v[rows]
        C = self.C if self.C.ndim == 1 else self.C[rows]
        if Y is None:
            Y = torch_fold_in(Z, C, X, self.problem.ridge_y)
        squared_error = (C * (Z - Y @ X.T) ** 2).sum(dim=1)
        recon = (v * (squared_error + self.problem.ridge_y * (Y**2).sum(dim=1))).sum() / self.total
        theta = theta if len(theta) else self.fixed
        p = len(self.w0)
        loadings = (self.gain[self.source, None] * X[self.source] * theta[:p, None]).T
        V = loadings.new_zeros(len(loadings), len(theta) - p).index_add(1, self.target, loadings)
        return recon, (
            self.share[rows]
            * torch_focal_loss(Y @ V + theta[p:], self.y[rows], self.settings.focal_gamma)
        ).sum()


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
    latest = {}

    def evaluate(flat):
        X_leaf = loss.tensor(flat[:size].reshape(X.shape)).requires_grad_()
        theta_leaf = loss.tensor(flat[size:]).requires_grad_()
        latest["value"], latest["parts"] = loss.backward(X_leaf, theta_leaf)
        if not loss.history["objective"]:
            loss.record(latest["value"], latest["parts"])
        gradient = [
            leaf.grad.cpu().numpy().ravel()
            for leaf in (X_leaf, theta_leaf)
            if leaf.grad is not None
        ]
        return latest["value"], np.concatenate(gradient).astype(np.float64)

    lower = np.full(size + len(theta), -np.inf)
    if loss.problem.nonnegative and len(theta):
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
    return result.x[:size].reshape(X.shape), result.status == 0 or slope <= 1e-5, int(result.nit)


def _free(loss, X, theta, *, max_iter, tol):
    """Adam over X, theta and the instance factors, the best state kept: (X, converged, number of
    steps).
    """
    torch = import_torch()
    problem = loss.problem
    start = fold_in(problem.Z, problem.C, X, problem.ridge_y)
    X, theta, Y = (loss.tensor(array).requires_grad_() for array in (X, theta, start))
    steps, p = ADAM_STEPS_PER_ITER * max_iter, len(loss.w0)
    adam = torch.optim.Adam([X, theta, Y], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    best, best_X, improved = np.inf, X, 0
    for step in range(steps):
        adam.zero_grad()
        value, parts = loss.backward(X, theta, Y)
        loss.record(value, parts)
        if value < best - 0.1 * tol * abs(best if np.isfinite(best) else 0.0):
            improved = step
        if value < best:
            best, best_X = value, X.detach().clone()
        stalled = step - improved >= PATIENCE
        if stalled:
            break
        Y.grad /= loss.v[
            :, None
        ]  # Adam's epsilon must not see how many copies of itself a row stands for
        adam.step()
        schedule.step()
        if problem.nonnegative and len(theta):
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
