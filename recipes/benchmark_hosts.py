"""Does CFEnsemble combine a toolkit's own models better than the toolkit's own ensemble does?

AutoGluon, scikit-learn's StackingClassifier, mlxtend's StackingCVClassifier and FLAML fit their
models on 23 real imbalanced tables (`automl_sets.py`), three splits each, and predict the other
40 % of the rows. Every combiner gets the same out-of-fold predictions of the same host: complete,
and with what goes wrong in hosts (`host_cases.py`). Peers that cannot take missing cells get the
best of four imputations (`imputation.py`). Splits are averaged; Wilcoxon's signed-rank test is over
sets.

Every result is appended at once to --results, and what is there is not done again, so that the
program goes on where it was stopped; fits of the hosts lie in `recipes/.cache/hosts`. --docs puts
tables and picture into docs/hosts.md. From nothing about three hours on one core, for --splits 1 a
third of it; from the fits, about ten minutes a split. Needs the extra "plugins".
"""

import argparse
import csv
import logging
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from comparison import put_tables
from host_cases import SCENARIOS, make_case
from host_fits import HOSTS, N_SPLITS, SETS, host_fit, path_of, tasks
from host_tables import FEW, OURS, OWN, draw, make_tables
from imputation import Imputed, as_classes
from peers import PEERS, bounded
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble
from cfens_stack.stacking import select_models
from cfens_stack.stacking.selection import choose

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "hosts.md"
KEY = ["host", "set", "split", "scenario", "method"]
MEASURED = ["average precision", "ROC AUC", "log loss", "Brier", "models", "seconds"]
RIVALS = [
    "plain average",
    "best single model",
    "logistic, probabilities",
    "logistic, logits, CV",
    "greedy, log loss",
]


def main():
    arguments = parse_arguments()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")  # of toolkits and peers
    done = read_results(arguments.results, again=arguments.again or [])
    todo = tqdm(tasks(arguments.hosts, arguments.sets, arguments.splits), unit="fit")
    for host, name, number in todo:
        todo.set_description(f"{host} on {name}, split {number}")
        where = {"host": host, "set": name, "split": number}
        missing = [key for key in methods_of(where) if key not in done]
        if not missing or (arguments.cached and not path_of(host, name, number).is_file()):
            continue
        try:
            fit = host_fit(host, name, number)
        except Exception as error:  # a host that fails is a result
            todo.write(f"{host} on {name}, split {number}: {error!r}")
            continue
        with threadpool_limits(1):
            append(arguments.results, combine(fit, where, missing))
    table = pd.read_csv(arguments.results)
    tables = make_tables(table)
    print("\n\n".join(f"## {title}\n\n{body}" for title, body in tables.items()))
    if arguments.docs:
        put_tables(PAGE, tables)
        draw(table, PAGE.parent / "hosts.png")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", nargs="+", choices=list(HOSTS), help="default: all")
    parser.add_argument("--sets", nargs="+", choices=SETS, help="default: all")
    parser.add_argument("--splits", type=int, default=N_SPLITS, help=f"default: {N_SPLITS}")
    parser.add_argument(
        "--results",
        type=Path,
        default=HERE / "results" / "benchmark_hosts.csv",
        help="scores by split (default: %(default)s)",
    )
    parser.add_argument("--again", nargs="+", metavar="METHOD", help="methods to do again")
    parser.add_argument("--cached", action="store_true", help="only where the host is fitted")
    parser.add_argument("--docs", action="store_true", help="put tables into docs/hosts.md")
    return parser.parse_args()


def methods_of(where):
    """Keys of all results of one fit."""
    for scenario in SCENARIOS:
        own = [OWN, FEW] if scenario == "complete" else []
        for method in [*own, *RIVALS, OURS]:
            yield (*where.values(), scenario, method)


def read_results(path, again):
    """Keys of what has been done, without the methods to do again, which leave the file."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(",".join([*KEY, *MEASURED]) + "\n")
    table = pd.read_csv(path)
    kept = table[~table["method"].isin(again)]
    if len(kept) < len(table):
        kept.to_csv(path, index=False)
    return set(kept[KEY].itertuples(index=False, name=None))


def append(path, rows):
    with path.open("a", newline="") as file:
        csv.DictWriter(file, [*KEY, *MEASURED], lineterminator="\n").writerows(rows)


def combine(fit, where, keys):
    """One row per key: metrics on the test rows, number of models asked, seconds of the combiner."""
    rows, imputed = [], {}
    for *_, scenario, method in keys:
        if scenario not in imputed:
            imputed[scenario] = Imputed(make_case(scenario, *where.values(), fit))
        start = time.perf_counter()
        p, models = by_method(method, fit, imputed[scenario])
        seconds = time.perf_counter() - start
        rows.append(
            where
            | {"scenario": scenario, "method": method}
            | {name: f"{value:.6f}" for name, value in metrics(fit.y_test, p).items()}
            | {"models": models, "seconds": f"{seconds:.3f}"}
        )
    return rows


def by_method(method, fit, imputed):
    """Probabilities of the test rows, and the number of models that they need."""
    case, m = imputed.case, fit.R.shape[1]
    if method == OWN:
        return fit.ensemble_test, len(fit.own_names)
    if method in PEERS:
        R, R_test, _ = imputed.matrices(method)
        return PEERS[method](as_classes(R), case.y, as_classes(R_test))[1][:, 1], m
    kept = np.arange(m)
    if method == FEW:
        path = select_models(case.R, case.y)
        kept = list(choose(path, max_models=len(fit.own_names), tolerance=0).models)
    meta = CFEnsemble(layout="positive").fit(case.R[:, kept], case.y)
    return meta.predict_proba(case.R_test[:, kept])[:, 1], len(kept)


def metrics(y, p):
    p_bounded = bounded(np.column_stack([1 - p, p]))[:, 1]
    return {
        "average precision": average_precision_score(y, p),
        "ROC AUC": roc_auc_score(y, p),
        "log loss": log_loss(y, p_bounded),
        "Brier": brier_score_loss(y, p_bounded),
    }


if __name__ == "__main__":
    main()
