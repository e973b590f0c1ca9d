"""Is a stack of our base models ahead of AutoML toolkits, in the same time on the same cores?

Real imbalanced tables with categories and missing values (`automl_sets.py`), three splits of 60 to
40. `StackingPipeline` with the pools "fast", "default" and "best" takes the time it takes; AutoGluon,
FLAML and a HistGradientBoostingClassifier tuned by Optuna get the seconds of our fit on the same
split, then multiples of them. Each fit has a process of its own, a hard limit, and as many threads as
--cores names. The record of a fit is written as it ends, so the recipe can be stopped and goes on
where it was; what fails is a record too.

Writes the records (--results, CSV), and with --docs the tables and the picture of docs/automl.md.
All of it takes about a day on one core, the first split at equal time about 40 minutes; --report
only makes the tables from the records, in seconds. Needs the extras "automl" and "recipes".
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
from automl_sets import N_SPLITS, SETS
from tqdm import tqdm

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
RESULTS = HERE / "results" / "benchmark_automl.csv"
KEPT = HERE / ".cache" / "automl_hosts"
FIELDS = [
    *("set", "split", "system", "budget", "limit", "status", "error"),
    *("average precision", "ROC AUC", "log loss", "Brier"),
    *("fit seconds", "predict seconds", "memory", "disk", "notes"),
]
FIT = [sys.executable, "-c", "from automl_fit import main; main()"]
OURS = ["default", "fast", "best"]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# What is run on which splits, the most important first: a system, and the fit whose seconds it gets,
# how many times.
EQUAL = [
    *((name, None) for name in OURS),
    ("AutoGluon medium", ("default", 1)),
    ("AutoGluon best", ("best", 1)),
    ("FLAML", ("default", 1)),
    ("tuned boosting", ("default", 1)),
]
CORE = [run for run in EQUAL if run[0] in ("default", "best", "AutoGluon medium", "AutoGluon best")]
LATER = [run for run in EQUAL if run not in CORE]
BLOCKS = [
    ([0], EQUAL),
    ([0], [("AutoGluon best", ("default", 5))]),
    ([1, 2], CORE),
    ([1, 2], [*LATER, ("AutoGluon best", ("default", 5))]),
    ([0], [("AutoGluon best", ("default", 10)), ("AutoGluon good", ("default", 1))]),
    ([0], [(name, ("default", 5)) for name in ("AutoGluon medium", "AutoGluon good", "FLAML")]),
    ([0], [(name, ("default", 30)) for name in ("AutoGluon best", "FLAML", "AutoGluon medium")]),
]


def main():
    arguments = parse_arguments()
    if not arguments.report:
        run_all(arguments)
    from automl_tables import draw, make_tables
    from comparison import put_tables

    records = read_records(arguments.results)
    tables = make_tables(records)
    print("\n\n".join(f"## {title}\n\n{body}" for title, body in tables.items()))
    if arguments.docs:
        put_tables(DOCS / "automl.md", tables)
        draw(records, DOCS / "benchmark_automl.png")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--splits", type=int, nargs="+", default=list(range(N_SPLITS)))
    parser.add_argument("--systems", nargs="+", help="default: all")
    parser.add_argument("--blocks", type=int, default=len(BLOCKS), help="the first so many only")
    parser.add_argument("--cores", type=int, nargs="+", help="default: those of this process")
    parser.add_argument("--minutes", type=float, help="start no fit after so many")
    parser.add_argument("--results", type=Path, default=RESULTS, help="CSV of the records")
    parser.add_argument("--report", action="store_true", help="run nothing, only make the tables")
    parser.add_argument("--docs", action="store_true", help="tables and picture into docs/")
    return parser.parse_args()


def run_all(arguments):
    """Every task that has no record yet, in their order."""
    if arguments.cores:
        psutil.Process().cpu_affinity(arguments.cores)
    end = time.monotonic() + 60 * (arguments.minutes or float("inf"))
    tasks = tasks_of(arguments.sets, arguments.splits, arguments.systems, arguments.blocks)
    done = {key_of(record): record for record in read_records(arguments.results).to_dict("records")}
    with tqdm(tasks, desc="fits", unit="fit") as bar:
        for task in bar:
            if time.monotonic() > end:
                break
            if key_of(task) in done:
                continue
            bar.set_postfix_str(" ".join(map(str, key_of(task))))
            record = run(task, done)
            if record is not None:
                done[key_of(record)] = record
                append(arguments.results, record)


def tasks_of(sets, splits, systems=None, n_blocks=None):
    """Tasks in the order of the blocks; in a block set by set, so that rivals run side by side."""
    tasks = []
    for block_splits, runs in BLOCKS[:n_blocks]:
        for split in block_splits:
            for name in sets:
                for system, reference in runs:
                    if split in splits and (systems is None or system in systems):
                        budget = "" if reference is None else f"{reference[1]} x {reference[0]}"
                        tasks.append(
                            {"set": name, "split": split, "system": system, "budget": budget}
                        )
    return tasks


def key_of(record):
    return record["set"], int(record["split"]), record["system"], record["budget"]


def run(task, done):
    """The record of a fit, in a process of its own; None if the fit whose time it gets is missing."""
    limit = None
    if task["budget"]:
        times, _, reference = task["budget"].partition(" x ")
        found = done.get((task["set"], task["split"], reference, ""))
        if found is None or found["status"] != "ok":
            return None
        limit = max(1.0, float(times) * found["fit seconds"])
    command = [*FIT, task["set"], task["split"], task["system"]]
    if limit is not None:
        command += ["--seconds", f"{limit:.2f}"]
        preset = task["budget"].replace(" ", "") + "-" + task["system"].replace(" ", "_")
        command += ["--keep", KEPT / f"{task['set']}-{task['split']}-{preset}.npz"]
    hard = 600.0 if limit is None else 4 * limit + 120
    found = in_process(list(map(str, command)), hard)
    return {**dict.fromkeys(FIELDS), **task, "limit": limit, **found}


def in_process(command, seconds):
    """What the process prints on its last line; or how it failed."""
    threads = dict.fromkeys(THREADS, str(n_cores()))
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | threads | {"PYTHONPATH": os.pathsep.join(map(str, paths()))},
        process_group=0,
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return {"status": "timeout", "error": f"killed after {seconds:.0f} s"}
        finally:
            _kill_group(process)
    try:
        return {"status": "ok", "error": "", **json.loads(output.strip().splitlines()[-1])}
    except (IndexError, ValueError):
        last = errors.strip().splitlines()[-1:] or ["no output"]
        return {"status": "failed", "error": f"exit {process.returncode}: {last[0][:300]}"}


def _kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # all of it has ended


def paths():
    """Here and the package, and what was on the path before."""
    return [HERE, HERE.parent, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def n_cores():
    return len(psutil.Process().cpu_affinity())


def append(path, record):
    """One line more; each is complete or, at worst, the last one is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, extrasaction="ignore")
        if is_new:
            writer.writeheader()
        writer.writerow(record)


def read_records(path):
    """The records, a data frame; empty if there are none."""
    if not path.exists():
        return pd.DataFrame(columns=FIELDS)
    table = pd.read_csv(path, keep_default_na=True)
    texts = {name: "" for name in ("budget", "error", "notes")}
    return table.dropna(subset=["status"]).fillna(texts)


if __name__ == "__main__":
    main()
