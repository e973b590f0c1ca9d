"""What does a stack reach in less time than its pool needs?

The default pool on page-blocks0 of KEEL (5472 rows, 10 % positive; 70 % of them for the fit), one
core, no limit and three of them as shares of the time without. Prints a table: seconds in all, models
that are whole, log loss and average precision on the other rows. About half a minute.
"""

import argparse
import time
import warnings

import pandas as pd
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import train_test_split

from cfens_stack import StackingPipeline
from cfens_stack.datasets import load_keel

SHARES = (0.5, 0.25, 0.1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", default="page-blocks0", help="of KEEL's imbalanced collection")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of models that are left out
    bunch = load_keel(arguments.set, as_frame=True)
    data = train_test_split(
        bunch.data, bunch.target, test_size=0.3, stratify=bunch.target, random_state=0
    )
    rows = [fitted(data, None)]
    rows += [fitted(data, share * rows[0]["seconds"]) for share in SHARES]
    print(pd.DataFrame(rows).to_string(index=False, na_rep="none", float_format="{:.4g}".format))


def fitted(data, limit):
    """One fit: its limit, seconds, whole models and scores."""
    X, X_test, y, y_test = data
    start = time.perf_counter()
    stack = StackingPipeline(time_limit=limit, n_jobs=1, random_state=0).fit(X, y)
    seconds = time.perf_counter() - start
    p = stack.predict_proba(X_test)[:, 1]
    return {
        "time_limit": limit,
        "seconds": seconds,
        "models": sum(model is not None for model in stack.estimators_),
        "log loss": log_loss(y_test, p),
        "average precision": average_precision_score(y_test, p),
    }


if __name__ == "__main__":
    main()
