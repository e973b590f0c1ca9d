"""One fit of `benchmark_automl.py`, in a process of its own: its record is printed as JSON on the
last line.
"""

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from automl_sets import SETS, split
from automl_systems import SYSTEMS, peak_memory
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

LOWEST = 1e-4  # of a probability in the log loss: a certain mistake would be infinite


def main():
    """Read the task from the command line, and carry it out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("split", type=int)
    parser.add_argument("system", choices=list(SYSTEMS))
    parser.add_argument("--seconds", type=float, help="limit for the fit")
    parser.add_argument("--keep", type=Path, help="file (npz) for the predictions of the models")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of the systems
    record = measure(
        SYSTEMS[arguments.system],
        split(arguments.set, arguments.split),
        arguments.seconds,
        arguments.keep,
    )
    print("\n" + json.dumps(record), flush=True)


def measure(system, data, seconds, keep=None):
    """Fit and predict once: scores, seconds, bytes."""
    X, X_test, y, y_test = data
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        system.imports()
        start = time.perf_counter()
        system.fit(X, y, seconds, folder)
        fitted = time.perf_counter()
        memory = peak_memory()
        system.predict_proba(X_test.head(20))  # loads what is on disk
        before = time.perf_counter()
        p = np.asarray(system.predict_proba(X_test), dtype=float)
        after = time.perf_counter()
        record = scores(y_test, p) | {
            "fit seconds": fitted - start,
            "predict seconds": after - before,
            "memory": memory,
            "disk": system.bytes_on_disk(folder),
            "notes": system.notes(),
        }
        if keep is not None and hasattr(system, "predictions_of_models"):
            found = system.predictions_of_models(X, y, X_test, y_test)
            if found is not None:
                keep.parent.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(keep, **found)
    return record


def scores(y, p):
    """The metrics, of class 1's probabilities."""
    bounded = np.clip(p, LOWEST, 1 - LOWEST)
    return {
        "average precision": average_precision_score(y, p),
        "ROC AUC": roc_auc_score(y, p),
        "log loss": log_loss(y, bounded),
        "Brier": brier_score_loss(y, np.clip(p, 0, 1)),
    }
