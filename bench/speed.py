"""What does a default fit cost against what one would run instead, and how does it grow?

One process on one BLAS thread; repeats are interleaved and medians are taken, so that ratios hold
on a busy machine where seconds do not. Compared on equal predictions of 20 base models:
scikit-learn's LogisticRegression and LogisticRegressionCV, greedy ensemble selection (Caruana et
al. 2004; 50 rounds, with replacement) by log loss and by average precision, and, with 30 % of the
cells missing, IterativeImputer with LogisticRegression. Then rows predicted per second, the time of the import,
the growth of a fused sweep in n, m and d, its share of the speed of dgemm, and the PyTorch trainer
beside ALS. Writes docs/speed.md and docs/speed.png.

    python bench/speed.py               about six minutes
    python bench/speed.py --quick       up to n = 1e4, prints only
"""

import argparse
import os
import platform
import tracemalloc
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from kernel import (
    LOOP_ROWS,
    MANY_ROWS,
    float32_rows,
    form_rows,
    kernel_rows,
    medians,
    random_rows,
    seconds_of,
    thread_rows,
)
from ratios import MODELS, REPEAT_BELOW, import_ratio, prediction_rows, ratios, warm_up
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from cfens_stack import CFEnsemble, CFEnsemblePyTorchTrainer
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.joint_loss import JointLoss
from cfens_stack.kernels import ridge_numba
from cfens_stack.kernels.ridge import sweep
from cfens_stack.kernels.ridge_numpy import DUAL_FROM

DOCS = Path(__file__).resolve().parent.parent / "docs"
ROUNDS = 50
SLOW = 4.0  # seconds; a method that took longer is not run at the next size


def greedy_selection(R, y, loss):
    """How often each model is chosen in 50 rounds."""
    total, counts = np.zeros(len(R)), np.zeros(R.shape[1])
    for k in range(1, ROUNDS + 1):
        best = int(np.argmin(loss((total[:, None] + R) / k, y)))
        total += R[:, best]
        counts[best] += 1
    return counts


def log_losses(P, y):
    return -np.log(np.clip(np.where(y[:, None] == 1, P, 1.0 - P), 1e-12, None)).mean(axis=0)


def negative_average_precisions(P, y):
    return [-average_precision_score(y, p) for p in P.T]


def methods(R, holes, y):
    """Name -> fit, each on the same predictions."""
    return {
        "CFEnsemble": lambda: CFEnsemble().fit(R, y),
        "LogisticRegression": lambda: LogisticRegression(max_iter=1000).fit(R, y),
        "LogisticRegressionCV": lambda: LogisticRegressionCV(max_iter=1000).fit(R, y),
        "greedy, log loss": lambda: greedy_selection(R, y, log_losses),
        "greedy, average precision": lambda: greedy_selection(R, y, negative_average_precisions),
        "CFEnsemble, 30 % missing": lambda: CFEnsemble().fit(holes, y),
        "IterativeImputer + logistic, 30 % missing": lambda: make_pipeline(
            IterativeImputer(random_state=0), LogisticRegression(max_iter=1000)
        ).fit(holes, y),
    }


def peak_bytes(function):
    """Peak of the memory that numpy and Python hold while the function runs."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def fits(sizes):
    """Seconds of every method by n, and peak bytes of a CFEnsemble fit beyond R."""
    rows, skipped = [], set()
    for n in sizes:
        data = make_predictions(n_samples=n, n_models=MODELS, random_state=0)
        holes = np.where(np.random.default_rng(0).random(data.R.shape) < 0.3, np.nan, data.R)
        functions = {
            name: fit for name, fit in methods(data.R, holes, data.y).items() if name not in skipped
        }
        seconds = medians(functions, REPEAT_BELOW)
        skipped |= {name for name, value in seconds.items() if value > SLOW}
        peak = peak_bytes(methods(data.R, holes, data.y)["CFEnsemble"])
        rows.append({"n": n, **seconds, "peak bytes per row": peak / n})
    return pd.DataFrame(rows).set_index("n")


def sweep_growth(n_max):
    """Seconds of a fused sweep, complete per-cell confidence, along n, m and d, and the exponents
    between the ends.
    """
    base = {"n": min(100_000, n_max), "m": 20, "d": 8}
    axes = {"n": [1_000, 10_000, 100_000, 1_000_000], "m": [10, 20, 50], "d": [2, 4, 8, 16, 20]}
    axes["n"] = [n for n in axes["n"] if n <= n_max]
    rows = []
    for axis, values in axes.items():
        functions = {
            value: partial(sweep, *sweep_inputs(**{**base, axis: value})) for value in values
        }
        for value, seconds in medians(functions, REPEAT_BELOW).items():
            rows.append({"axis": axis, "value": value, "seconds": seconds})
    table = pd.DataFrame(rows)
    slopes = {
        axis: np.polyfit(np.log(group["value"].astype(float)), np.log(group["seconds"]), 1)[0]
        for axis, group in table.groupby("axis", sort=False)
    }
    return table, slopes


def sweep_inputs(n, m, d):
    return *random_rows(n, m, d), 1.0, 1.0


def dgemm_share(m=20, d=8, n=100_000):
    """Floating-point operations a second of a fused sweep over those of a large dgemm."""
    A = np.random.default_rng(0).normal(size=(1024, 1024))
    inputs = sweep_inputs(n, m, d)
    seconds = medians({"dgemm": lambda: A @ A, "sweep": lambda: sweep(*inputs)}, REPEAT_BELOW)
    packed = d * (d + 1) / 2
    # per row: two products of packed triangles with the confidence, right-hand sides twice,
    # elimination, two solves
    flops = n * (4 * packed * m + 4 * d * m + d**3 / 3 + 4 * d**2)
    return flops / seconds["sweep"] / (2 * 1024**3 / seconds["dgemm"])


def models_growth(n):
    """Seconds of a default fit and of logistic regression by the number of base models."""
    rows = []
    for m in (10, 20, 50):
        data = make_predictions(n_samples=n, n_models=m, random_state=0)
        fits_of = methods(data.R, data.R, data.y)
        seconds = medians(
            {name: fits_of[name] for name in ("CFEnsemble", "LogisticRegression")}, REPEAT_BELOW
        )
        rows.append(
            {"m": m, **seconds, "ratio": seconds["CFEnsemble"] / seconds["LogisticRegression"]}
        )
    return pd.DataFrame(rows)


def trainers(sizes):
    """ALS and PyTorch, default settings: seconds; sweeps, or evaluations of loss and gradient, and
    one's cost.
    """
    rows = []
    for n in sizes:
        for missing in (0.0, 0.3):
            data = make_predictions(n_samples=n, n_models=MODELS, missing=missing, random_state=0)
            for name, trainer in (
                ("ALS", CFEnsemble()),
                ("PyTorch, projected", CFEnsemblePyTorchTrainer()),
            ):
                evaluations = Counter()
                with mock.patch.object(
                    JointLoss,
                    "value_and_gradient",
                    counted(JointLoss.value_and_gradient, evaluations),
                ):
                    seconds = seconds_of(
                        lambda trainer=trainer, data=data: trainer.fit(data.R, data.y)
                    )
                rows.append(
                    {
                        "n": n,
                        "missing": missing,
                        "trainer": name,
                        "seconds": seconds,
                        "steps": evaluations["calls"] or trainer.n_iter_,
                        "seconds per evaluation": evaluations["seconds"]
                        / max(evaluations["calls"], 1)
                        or np.nan,
                    }
                )
    return pd.DataFrame(rows)


def counted(method, counts):
    """The method, which adds its calls and seconds to counts."""

    def call(*args, **kwargs):
        result = []
        counts["seconds"] += seconds_of(lambda: result.append(method(*args, **kwargs)))
        counts["calls"] += 1
        return result[0]

    return call


def torch_operators(n=10_000):
    """Share of the time of a PyTorch fit, 30 % of the cells missing, by operator of torch: the
    eight largest.
    """
    from torch.profiler import profile

    data = make_predictions(n_samples=n, n_models=MODELS, missing=0.3, random_state=0)
    with profile() as recorded:
        CFEnsemblePyTorchTrainer(max_iter=3).fit(data.R, data.y)
    shares = pd.Series({event.key: event.self_cpu_time_total for event in recorded.key_averages()})
    return (shares / shares.sum()).nlargest(8).rename_axis("operator").rename("share").to_frame()


def write(
    fit_table,
    ratio_table,
    prediction_table,
    import_seconds,
    model_table,
    kernel_table,
    variants,
    growth,
    slopes,
    share,
    trainer_table,
    operator_table,
):
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name in fit_table.columns.drop("peak bytes per row"):
        axes.loglog(fit_table.index, fit_table[name], marker="o", label=name)
    axes.set(xlabel="rows n", ylabel="seconds of a fit", title=f"{MODELS} base models, one core")
    axes.legend(fontsize=8)
    figure.savefig(DOCS / "speed.png", dpi=130)
    ratios = fit_table.drop(columns="peak bytes per row").div(fit_table["CFEnsemble"], axis=0)
    text = f"""# Speed

`python bench/speed.py`, numba compiled before,
on a machine with {os.cpu_count()} cores ({platform.machine()}, {platform.system()}), one BLAS
thread, load average {os.getloadavg()[0]:.1f} at the end, so other work may have run beside it. Read ratios, not
seconds: the methods of a row were timed in turn, in one process. Empty: the method took more than
{SLOW:g} s at a smaller n.

![Seconds of a fit](speed.png)

Seconds of a fit, and peak memory of the `CFEnsemble` fit beyond R:

{markdown(fit_table.round(3))}

Times the seconds of `CFEnsemble` on the same rows, complete:

{markdown(ratios.round(2))}

A default fit beside scikit-learn's regressions on the same matrix. Correlated: the models share three sources of
what they know.

{markdown(ratio_table.round(2).set_index("n"))}

`predict_proba` on one core:

{markdown(prediction_table.round(2).set_index("missing"))}

`import cfens_stack` takes {import_seconds:.2f} times as long as `import sklearn.linear_model`.

By the number of base models, at n = 100 000:

{markdown(model_table.round(3).set_index("m"))}

The kernel at n = {LOOP_ROWS} with a confidence for each cell, as times the speed of a Python loop over
`np.linalg.solve` (both halves of a sweep): numpy, numba, the batched `np.linalg.solve`, and one confidence for all
rows:

{markdown(kernel_table.round(1).set_index("m"))}

A sweep in float64, as times its seconds in float32 (n = {MANY_ROWS}):

{markdown(variants["float32"].round(2).set_index("m"))}

A sweep that solves for d factors per row, as times its seconds with the dual, m unknowns and a matrix that only its
diagonal tells from those of other rows (n = {MANY_ROWS}; taken from d = {DUAL_FROM} m on, under numba from
{ridge_numba.DUAL_FROM} m on):

{markdown(variants["form"].round(2).set_index("m"))}

Milliseconds of a sweep under numba within `joblib.parallel_config(n_jobs=2)`:

{markdown(variants["threads"].round(2).set_index("n"))}

A fused sweep at (m, d) = (20, 8) reaches {share:.0%} of the speed of a 1024 x 1024 dgemm. It grows as
n^{slopes["n"]:.2f}, m^{slopes["m"]:.2f} and d^{slopes["d"]:.2f} (from n = 100 000, m = 20, d = 8):

{markdown(growth.round(4).set_index("axis"))}

ALS and the PyTorch trainer (CPU, projected factors), default settings; steps are sweeps for ALS, evaluations of the
loss with its gradient for PyTorch:

{markdown(trainer_table.round(3).set_index("n"))}

Where the time of a PyTorch fit goes (n = 10 000, 30 % missing; share by operator, three iterations):

{markdown(operator_table.round(3))}
"""
    (DOCS / "speed.md").write_text(text)


def markdown(table):
    """A table in markdown; pandas wants another package for it."""
    table = table.reset_index()
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + "---|" * len(table.columns)]
    for row in table.itertuples(index=False):
        lines.append(
            "| "
            + " | ".join(
                "" if value != value else f"{value:g}" if isinstance(value, float) else str(value)
                for value in row
            )
            + " |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="up to n = 1e4, prints only")
    quick = parser.parse_args().quick
    sizes = [1_000, 10_000] if quick else [1_000, 10_000, 100_000, 1_000_000]
    warnings.simplefilter("ignore", FutureWarning)  # what LogisticRegressionCV will change
    warnings.simplefilter("ignore", ConvergenceWarning)  # IterativeImputer stops after ten rounds
    warm_up()
    with threadpool_limits(1):
        fit_table = fits(sizes)
        ratio_table = pd.DataFrame(ratios([2_000, min(100_000, max(sizes))]))
        prediction_table = pd.DataFrame(prediction_rows(min(200_000, 10 * max(sizes))))
        import_seconds = import_ratio()
        kernel_table = pd.DataFrame(kernel_rows(LOOP_ROWS))
        variants = {
            "float32": pd.DataFrame(float32_rows(MANY_ROWS)),
            "form": pd.DataFrame(form_rows(MANY_ROWS)),
            "threads": pd.DataFrame(thread_rows([size for size in sizes if size > 1_000])),
        }
        model_table = models_growth(min(100_000, max(sizes)))
        growth, slopes = sweep_growth(max(sizes))
        share = dgemm_share()
        trainer_table = trainers([10_000] if quick else [10_000, 100_000])
        operator_table = torch_operators()
    if quick:
        tables = (
            fit_table.T,
            ratio_table,
            prediction_table,
            f"{import_seconds:.2f} times the import of scikit-learn",
            model_table,
            kernel_table.T,
            *variants.values(),
            growth,
            slopes,
            f"{share:.0%} of dgemm",
            trainer_table,
        )
        print(*tables, operator_table, sep="\n\n")
    else:
        write(
            fit_table,
            ratio_table,
            prediction_table,
            import_seconds,
            model_table,
            kernel_table,
            variants,
            growth,
            slopes,
            share,
            trainer_table,
            operator_table,
        )


if __name__ == "__main__":
    main()
