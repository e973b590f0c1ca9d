"""The PyTorch trainer: one loss, objective (3), and its exact gradient in every parameter; equation
(5).

"projected": the leaves are the model factors X and the aggregator (w, b); the instance factors are
the fold-in of X, differentiated through (variable projection, Golub and Pereyra 1973). L-BFGS-B
keeps the bounds on w. "free": the instance factors are leaves too, the literal joint objective,
minimised by Adam with a cosine schedule.

Nothing of torch stays on the fitted estimator.
"""

import numpy as np
from scipy.optimize import Bounds, minimize

from cfens_stack.ensemble.als import cells_of, train_factors
from cfens_stack.ensemble.joint_loss import (
    CHUNK_ROWS,
    JointLoss,
    find_device,
    import_torch,
    torch_fold_in,
)
from cfens_stack.ensemble.objective import joint
from cfens_stack.ensemble.rows import identity
from cfens_stack.ensemble.training import Solution, train_aggregator
from cfens_stack.kernels.blocks import blocks

LEARNING_RATE = 0.02
# Adam needs more steps than L-BFGS has iterations: max_iter counts five of them.
ADAM_STEPS_PER_ITER = 5
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
    X, _, _ = train_factors(
        cells,
        latent_dim,
        problem.ridge_x,
        problem.encoder.ridge,
        missing=problem.missing_moment,
        **limits,
    )
    start, *_ = train_aggregator(problem, X, settings)
    loss = JointLoss(problem, settings, start.strength, X, start.w)
    theta = np.append(start.w, start.b) if settings.aggregator == "weighted" else np.empty(0)
    minimiser = _projected if settings.instance_factors == "projected" else _free
    X, converged, n_iter = minimiser(loss, X, theta, **limits)
    fit, W, b, base = train_aggregator(problem, X, settings, start.strength)
    history = {name: np.array(values) for name, values in loss.history.items()}
    return Solution(X, W, b, base, fit.aggregator_reg, history, n_iter, converged and fit.converged)


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
