"""A default fit beside scikit-learn's logistic regressions, rows predicted per second, and the time
of the import: what `speed.py` reports first.

    python bench/ratios.py              two minutes, prints only
"""

import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
from kernel import medians
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from threadpoolctl import threadpool_limits

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions
from cfens_stack.kernels.compiled import COMPILED_FROM

MODELS = 20
REPEAT_BELOW = 2.0  # seconds; slower ones are timed once


def correlated_predictions(n, m):
    """Models that share three sources of what they know, as base models of one table do."""
    rng = np.random.default_rng(0)
    y = (rng.random(n) < 0.1).astype(int)
    sources = rng.normal(size=(n, 3)) + y[:, None]
    scores = 1.5 * sources @ rng.dirichlet([1.0, 1.0, 1.0], m).T + 0.3 * rng.normal(size=(n, m))
    return expit(scores - 2.0), y


def ratios(sizes):
    """A default fit beside scikit-learn's regressions on the same matrix: milliseconds, ratios."""
    for n in sizes:
        data = make_predictions(n_samples=n, n_models=MODELS, random_state=0)
        for kind, R, y in (
            ("generated", data.R, data.y),
            ("correlated", *correlated_predictions(n, MODELS)),
        ):
            models = (
                CFEnsemble(),
                LogisticRegression(max_iter=1000),
                LogisticRegressionCV(max_iter=1000),
            )
            functions = {model: partial(model.fit, R, y) for model in models}
            ours, single, cross_validated = medians(functions, REPEAT_BELOW).values()
            yield {
                "n": n,
                "predictions": kind,
                "CFEnsemble, ms": 1e3 * ours,
                "x LogisticRegression": ours / single,
                "x LogisticRegressionCV": ours / cross_validated,
            }


def prediction_rows(n):
    """Million rows that `predict_proba` takes per second, by the share of missing cells."""
    data = make_predictions(n_samples=n, n_models=MODELS, random_state=0)
    holes = np.where(np.random.default_rng(0).random(data.R.shape) < 0.3, np.nan, data.R)
    for name, R in (("none", data.R), ("30 %", holes)):
        model = CFEnsemble().fit(R[:10_000], data.y[:10_000])
        seconds = medians({name: partial(model.predict_proba, R)}, REPEAT_BELOW)
        yield {"missing": name, "million rows per second": n / seconds[name] / 1e6}


def import_ratio():
    """Seconds of importing this package in a new process, over those of scikit-learn."""

    def run(module):
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)

    modules = ("cfens_stack", "sklearn.linear_model")
    seconds = medians({module: partial(run, module) for module in modules}, np.inf)
    return seconds["cfens_stack"] / seconds["sklearn.linear_model"]


def warm_up():
    """numba compiles once per installation, ten seconds or more: not timed."""
    data = make_predictions(n_samples=2 * COMPILED_FROM, n_models=4, missing=0.3, random_state=0)
    for R in (data.R, np.nan_to_num(data.R, nan=0.5)):
        CFEnsemble().fit(R, data.y).predict_proba(R)


def main():
    with threadpool_limits(1):
        warm_up()
        print(pd.DataFrame(ratios([2_000, 100_000])).round(2).to_string(index=False))
        print(pd.DataFrame(prediction_rows(200_000)).round(2).to_string(index=False))
        print(f"{import_ratio():.2f} times the import of scikit-learn")


if __name__ == "__main__":
    main()
