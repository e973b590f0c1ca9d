"""What does the least-squares kernel lose in float32?

On each prediction matrix, with label-aware confidence and 30 % of the cells missing, the same
sweeps run in float64 and in float32 from one start, by numpy and by numba. The largest errors over
matrices and kernels: of a fold-in with the same model factors, of the reconstruction Y X' after the
sweeps (both in units of the largest entry), and of the objective.

    python bench/float32.py                    # generated predictions, 20 and 50 models
    python bench/float32.py --folder FOLDER    # and FOLDER/*.npz, arrays R_oof_0 (n, m), y_train_0
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from kernel import with_kernel
from threadpoolctl import threadpool_limits

from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.link import apply_link, centre, standardise
from cfens_stack.kernels.ridge import fold_in, ridges, sweep

SWEEPS = 15
RANKS = (8, 20, 32)
LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def matrices(folder):
    for n_models in (20, 50):
        for seed in range(3):
            data = make_predictions(2000, n_models, random_state=seed)
            yield "generated", data.R, data.y
    for path in sorted(Path(folder).glob("*.npz")) if folder else ():
        stored = np.load(path)
        yield "real", stored["R_oof_0"].astype(float), stored["y_train_0"]


def prepared(R, y):
    """Z, C and v as a fit makes them."""
    observed = np.random.default_rng(0).random(R.shape) < 0.7
    v, G = np.ones(len(R)), apply_link(R, "logit", 0.01, 1)
    Z = np.where(observed, standardise(G, observed, *centre(G, observed, v)), 0.0)
    C = np.where(observed, 1.0 + np.where(y[:, None] == 1, R, 1.0 - R), 0.0)
    return Z, C / C[observed].mean(), v


def errors(Z, C, v, d, lambda_reg, compiled):
    ridge_x, ridge_y = ridges(C, v, lambda_reg)
    start = np.linalg.svd(Z, full_matrices=False)[2][:d].T
    run, fold = with_kernel(sweep, compiled), with_kernel(fold_in, compiled)
    found = {}
    for dtype in (np.float64, np.float32):
        Z_t, C_t, X = Z.astype(dtype), C.astype(dtype), start.astype(dtype)
        for _ in range(SWEEPS):
            X, _, after = run(Z_t, C_t, v, X, ridge_x, ridge_y)
        found[dtype] = fold(Z_t, C_t, X, ridge_y) @ X.T, after, X
    (exact, objective, X), (single, approximate, _) = found.values()
    same_factors = (
        fold(Z.astype(np.float32), C.astype(np.float32), X.astype(np.float32), ridge_y) @ X.T
    )
    size = np.abs(exact).max()
    return {
        "fold-in": np.abs(same_factors - exact).max() / size,
        "reconstruction": np.abs(single - exact).max() / size,
        "objective": abs(approximate / objective - 1.0),
    }


def rows(folder):
    for source, R, y in matrices(folder):
        Z, C, v = prepared(R, y)
        for d in RANKS:
            if d > Z.shape[1]:
                continue
            for lambda_reg in LAMBDAS:
                for compiled in (False, True):
                    yield {"source": source, "d": d, "lambda": lambda_reg} | errors(
                        Z, C, v, d, lambda_reg, compiled
                    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", help="stored predictions")
    with threadpool_limits(1):
        table = pd.DataFrame(rows(parser.parse_args().folder))
    worst = table.groupby(["source", "d", "lambda"]).max()
    print(worst.to_string(float_format="{:.1e}".format))


if __name__ == "__main__":
    main()
