"""How fast is the least-squares kernel against what one would write first, and a default fit
against logistic regression?

Medians of interleaved repeats in one process on one thread of BLAS, as ratios within the run (of
the kernel, each right after an equal call, as in a fit): (a) a Python loop over np.linalg.solve,
(b) batched np.linalg.solve, (c) scikit-learn's LogisticRegression on the same matrix. Prints five
tables: the kernel, the sweep in float32 beside float64, the dual form of the rows' systems beside
the primal, threads, and fits; about two minutes.
"""

import argparse
import statistics
import time
from functools import partial
from unittest import mock

import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions
from cfens_stack.kernels import compiled, ridge_numpy
from cfens_stack.kernels.ridge import fold_in, sweep

REPEATS = 9
LOOP_ROWS = 4096
MANY_ROWS = 32768
SIZES = [(20, 8), (50, 16), (20, 20), (50, 32)]


def loop_fold_in(Z, C, X, ridge_y):
    """Equation (4) as written, one row at a time."""
    d = X.shape[1]
    return np.array(
        [
            np.linalg.solve((X.T * c) @ X + ridge_y * np.eye(d), X.T @ (c * z))
            for z, c in zip(Z, C, strict=True)
        ]
    )


def batched_fold_in(Z, C, X, ridge_y):
    A = np.einsum("iu,uk,ul->ikl", C, X, X, optimize=True) + ridge_y * np.eye(X.shape[1])
    return np.linalg.solve(A, ((C * Z) @ X)[:, :, None])[:, :, 0]


def loop_sweep(Z, C, v, X, ridge_x, ridge_y):
    Y = loop_fold_in(Z, C, X, ridge_y)
    return loop_fold_in(Z.T, (C * v[:, None]).T, Y, ridge_x)


def medians(functions, repeat_below=np.inf):
    """Median seconds of each function over interleaved repeats; those that take `repeat_below` or
    more run once.
    """
    times = {name: [seconds_of(function)] for name, function in functions.items()}
    for _ in range(REPEATS - 1):
        for name, function in functions.items():
            if times[name][0] < repeat_below:
                times[name].append(seconds_of(function))
    return {name: statistics.median(values) for name, values in times.items()}


def medians_in_succession(functions):
    """The same, each call right after one that is not timed: as sweeps follow one another, with
    memory at hand.
    """

    def after_itself(function):
        function()
        return seconds_of(function)

    times = [
        {name: after_itself(function) for name, function in functions.items()}
        for _ in range(REPEATS)
    ]
    return {name: statistics.median(row[name] for row in times) for name in functions}


def seconds_of(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def with_kernel(function, by_numba):
    """The function, with the rows passed over by numba or by numpy however few they are."""

    def call(*args):
        with mock.patch.object(compiled, "COMPILED_FROM", 0 if by_numba else np.inf):
            return function(*args)

    return call


def random_rows(n, m, d):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, m)), rng.random((n, m)), np.ones(n), rng.normal(size=(m, d))


def kernel_rows(n):
    for m, d in SIZES:
        Z, C, v, X = random_rows(n, m, d)
        seconds = medians_in_succession(
            {
                "loop fold-in": lambda Z=Z, C=C, X=X: loop_fold_in(Z, C, X, 1.0),
                "batched fold-in": lambda Z=Z, C=C, X=X: batched_fold_in(Z, C, X, 1.0),
                "fold-in": lambda Z=Z, C=C, X=X: with_kernel(fold_in, False)(Z, C, X, 1.0),
                "fold-in, numba": lambda Z=Z, C=C, X=X: with_kernel(fold_in, True)(Z, C, X, 1.0),
                "fold-in, shared confidence": lambda Z=Z, C=C, X=X: fold_in(Z, C[0], X, 1.0),
                "loop sweep": lambda Z=Z, C=C, X=X, v=v: loop_sweep(Z, C, v, X, 1.0, 1.0),
                "fused sweep": lambda Z=Z, C=C, X=X, v=v: with_kernel(sweep, False)(
                    Z, C, v, X, 1.0, 1.0
                ),
                "fused sweep, numba": lambda Z=Z, C=C, X=X, v=v: with_kernel(sweep, True)(
                    Z, C, v, X, 1.0, 1.0
                ),
            }
        )
        yield {
            "m": m,
            "d": d,
            "fold-in, x loop": seconds["loop fold-in"] / seconds["fold-in"],
            "numba": seconds["loop fold-in"] / seconds["fold-in, numba"],
            "batched solve": seconds["loop fold-in"] / seconds["batched fold-in"],
            "shared confidence": seconds["loop fold-in"] / seconds["fold-in, shared confidence"],
            "fused sweep, x loop": seconds["loop sweep"] / seconds["fused sweep"],
            "fused sweep, numba": seconds["loop sweep"] / seconds["fused sweep, numba"],
            "fold-in, million rows per second": n / seconds["fold-in"] / 1e6,
            "numba, million rows per second": n / seconds["fold-in, numba"] / 1e6,
        }


def float32_rows(n):
    """Seconds of a sweep in float64 over those in float32."""

    def pair(run, m, d):
        double = random_rows(n, m, d)
        single = [array.astype(np.float32) for array in double]
        return partial(run, *double, 1.0, 1.0), partial(run, *single, 1.0, 1.0)

    return ratio_rows(SIZES, pair)


def form_rows(n):
    """Seconds of a sweep in the primal form over those in the dual."""

    def pair(run, m, d):
        arrays = random_rows(n, m, d)
        return [partial(with_form(run, start), *arrays, 1.0, 1.0) for start in (np.inf, 0.0)]

    return ratio_rows([(20, 16), (20, 18), (20, 19), (20, 20), (50, 45), (50, 48)], pair)


def ratio_rows(sizes, pair):
    """Seconds of the first of two calls over those of the second, under numpy and under numba."""
    for m, d in sizes:
        row = {"m": m, "d": d}
        for name, by_numba in (("numpy", False), ("numba", True)):
            seconds = medians_in_succession(
                dict(enumerate(pair(with_kernel(sweep, by_numba), m, d)))
            )
            row[name] = seconds[0] / seconds[1]
        yield row


def with_form(function, dual_from):
    """The function, with the dual form from d = dual_from m on."""
    from cfens_stack.kernels import ridge_numba  # needs numba, as this table does

    def call(*args):
        before = ridge_numpy.DUAL_FROM, ridge_numba.DUAL_FROM
        ridge_numpy.DUAL_FROM = ridge_numba.DUAL_FROM = dual_from
        try:
            return function(*args)
        finally:
            ridge_numpy.DUAL_FROM, ridge_numba.DUAL_FROM = before

    return call


def thread_rows(sizes):
    """Milliseconds of a sweep under numba with one thread and with two."""
    run = with_kernel(sweep, True)
    for n in sizes:
        for m, d in ((20, 8), (20, 20)):
            arrays = random_rows(n, m, d)

            def on_threads(n_jobs, arrays=arrays):
                with parallel_config(n_jobs=n_jobs):
                    run(*arrays, 1.0, 1.0)

            seconds = medians_in_succession(
                {n_jobs: partial(on_threads, n_jobs) for n_jobs in (1, 2)}
            )
            one, two = 1e3 * seconds[1], 1e3 * seconds[2]
            yield {"n": n, "m": m, "d": d, "one thread": one, "two": two, "ratio": one / two}


def fit_rows(sizes):
    for n in sizes:
        data = make_predictions(n_samples=n, n_models=20, random_state=0)
        holes = np.where(np.random.default_rng(0).random(data.R.shape) < 0.3, np.nan, data.R)
        fitted = CFEnsemble().fit(data.R, data.y)
        seconds = medians(
            {
                "logistic": lambda data=data: LogisticRegression(max_iter=1000).fit(data.R, data.y),
                "CFEnsemble": lambda data=data: CFEnsemble().fit(data.R, data.y),
                "CFEnsemble, 30 % missing": lambda data=data, holes=holes: CFEnsemble().fit(
                    holes, data.y
                ),
                "predict": lambda data=data, fitted=fitted: fitted.predict_proba(data.R),
            }
        )
        yield {
            "n": n,
            **seconds,
            "CFEnsemble / logistic": seconds["CFEnsemble"] / seconds["logistic"],
        }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--large", action="store_true", help="fits at n = 1e6 too (two more minutes)"
    )
    arguments = parser.parse_args()
    with threadpool_limits(1):
        print(pd.DataFrame(kernel_rows(LOOP_ROWS)).round(1).to_string(index=False))
        print("\na sweep in float64, as times its seconds in float32")
        print(pd.DataFrame(float32_rows(MANY_ROWS)).round(2).to_string(index=False))
        print("\na sweep in the primal form, as times its seconds in the dual")
        print(pd.DataFrame(form_rows(MANY_ROWS)).round(2).to_string(index=False))
        print(
            "\nmilliseconds of a sweep under numba, on threads that "
            "joblib.parallel_config(n_jobs=2) allows"
        )
        print(
            pd.DataFrame(thread_rows([10_000, 100_000, 1_000_000])).round(2).to_string(index=False)
        )
        sizes = [1_000, 10_000, 100_000] + [1_000_000] * arguments.large
        print("\nseconds of a default fit, m = 20")
        print(pd.DataFrame(fit_rows(sizes)).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
