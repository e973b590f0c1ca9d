"""Which base models made a decision, which of them does the answer need, and what does serving it
cost?

vehicle1 of the KEEL repository: 846 silhouettes of vehicles, a quarter of the class sought. Eight
base models are stacked; 30 % of the rows are held out. Then the stack is looked at (who is how
good, what each model adds to the log-odds of one silhouette and of all, what is lost without it),
trimmed to as few models as the answer needs, and made ready for serving. Prints tables, writes a
picture. Takes about half a minute.
"""

import argparse
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot
from sklearn.inspection import permutation_importance
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import train_test_split

from cfens_stack import StackingPipeline
from cfens_stack.datasets import load_keel
from cfens_stack.display import ContributionsDisplay, SelectionPathDisplay
from cfens_stack.stacking import default_estimators


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="vehicle1", help="a KEEL set (default: %(default)s)")
    parser.add_argument("--picture", type=Path, default=Path("explain_and_serve.png"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data = load_keel(arguments.data)
    X, X_test, y, y_test = train_test_split(
        data.data, data.target, test_size=0.3, stratify=data.target, random_state=arguments.seed
    )
    stack = StackingPipeline(
        default_estimators("fast"), n_jobs=2, progress=True, random_state=arguments.seed
    ).fit(X, y)
    show("Who is how good", stack.leaderboard(scoring="average_precision"))
    row = explain(stack, y, X_test, y_test)
    trimmed = pickle.loads(pickle.dumps(stack)).select()
    served = {"all models": stack, "all, for serving": stack.for_serving()}
    served |= {"selected": trimmed, "selected, for serving": trimmed.for_serving()}
    show("What serving costs", pd.DataFrame(costs(served, X_test, y_test)).T)
    draw(stack, trimmed, X_test, row, arguments.picture)
    print(f"picture: {arguments.picture.resolve()}")


def explain(stack, y, X_test, y_test):
    """Tables of contributions and importances; the row that is shown alone."""
    parts = stack.contributions(X_test, as_frame=True)
    models = parts.drop(columns="intercept")
    p = stack.predict_proba(X_test)[:, 1]
    found = np.flatnonzero(y_test == 1)
    row = int(found[np.argmin(np.abs(p[found] - 0.5))])  # the hardest of those sought
    one = parts.iloc[[row]].T.set_axis(["log-odds"], axis=1)
    one.loc["sum"] = np.log(p[row] / (1 - p[row]))
    show(f"Row {row}: what each model adds", one)
    table = models.abs().mean().rename("mean size of contribution").to_frame()
    table["loss without it"] = stack.importance()["loss"]
    table["loss if missing"] = stack.importance(refit=False)["loss"]
    shuffled = permutation_importance(
        stack.meta_, stack.oof_frame(), y, scoring="neg_log_loss", random_state=0
    )
    table["loss if shuffled"] = pd.Series(shuffled.importances_mean, index=stack.model_names_)
    show("How much each model matters", table.sort_values("loss without it", ascending=False))
    return row


def costs(stacks, X_test, y_test):
    """Size, seconds and scores of stacks."""
    rows = {}
    for name, stack in stacks.items():
        start = time.perf_counter()
        p = stack.predict_proba(X_test)[:, 1]
        rows[name] = {
            "models": len(stack.model_names_),
            "pickle, MB": len(pickle.dumps(stack)) / 1e6,
            "seconds to predict": time.perf_counter() - start,
            "log loss": log_loss(y_test, p),
            "average precision": average_precision_score(y_test, p),
        }
    return rows


def show(title, table):
    print(f"\n{title}\n{table.to_string(float_format='{:.4f}'.format, na_rep='')}")


def draw(stack, trimmed, X_test, row, path):
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    shown = ContributionsDisplay.from_estimator(stack, X_test)
    shown.plot(axes[0], row=row)
    shown.plot(axes[1])
    SelectionPathDisplay.from_estimator(trimmed).plot(axes[2])
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
