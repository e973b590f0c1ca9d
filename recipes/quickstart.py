"""What does CFEnsemble gain over averaging and logistic stacking on a real imbalanced data set?

page-blocks0 of the KEEL repository: 5472 blocks of scanned pages, one in ten of them no text. Nine
base models are stacked by `StackingPipeline`; a quarter of the rows is held out from all of them.
Then the same out-of-fold predictions are combined by the peers, and everything is scored on the
held-out rows. Prints a table, writes a picture. Takes about a minute.
"""

import argparse
import time
from pathlib import Path

import pandas as pd
from matplotlib import pyplot
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    PrecisionRecallDisplay,
    average_precision_score,
    balanced_accuracy_score,
    log_loss,
    roc_auc_score,
)
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.datasets import load_keel
from cfens_stack.display import LatentSpaceDisplay

BASE_MODELS = [
    ("logistic", make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))),
    (
        "balanced_logistic",
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced")),
    ),
    ("linear_svm", make_pipeline(StandardScaler(), LinearSVC(class_weight="balanced"))),
    ("naive_bayes", GaussianNB()),
    ("neighbours", make_pipeline(StandardScaler(), KNeighborsClassifier(15))),
    ("tree", DecisionTreeClassifier(min_samples_leaf=10)),
    ("random_forest", RandomForestClassifier(200)),
    ("extra_trees", ExtraTreesClassifier(200, class_weight="balanced")),
    ("boosting", HistGradientBoostingClassifier()),
]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", default="page-blocks0", help="name of a KEEL set (default: %(default)s)"
    )
    parser.add_argument(
        "--picture", type=Path, default=Path("quickstart.png"), help="where to write the picture"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    data = load_keel(arguments.data)
    X, X_test, y, y_test = train_test_split(
        data.data, data.target, test_size=0.25, stratify=data.target, random_state=arguments.seed
    )
    print(
        f"{data.name}: {len(y)} rows to train on, {len(y_test)} held out, {y.mean():.1%} positive"
    )
    stack = StackingPipeline(
        BASE_MODELS, meta=CFEnsemble(), n_jobs=2, progress=True, random_state=arguments.seed
    )
    stack.fit(X, y)

    predictions = combine(stack, y, stack.base_predictions(X_test))
    table = pd.DataFrame(
        {name: scores(y_test, p, seconds) for name, (p, seconds) in predictions.items()}
    ).T
    print(table.to_string(float_format="{:.4f}".format))
    draw(stack, y_test, predictions, arguments.picture)
    print(f"picture: {arguments.picture.resolve()}")


def combine(stack, y, R_test):
    """Held-out probabilities of each way to combine the same base models, and the seconds it took
    to learn it.
    """
    R = stack.oof_
    best = max(range(R.shape[1]), key=lambda u: average_precision_score(y, R[:, u]))
    learners = {"CFEnsemble": CFEnsemble(), "logistic stacking": LogisticRegression()}
    predictions = {}
    for name, meta in learners.items():
        start = time.perf_counter()
        meta.fit(R, y)
        predictions[name] = meta.predict_proba(R_test)[:, 1], time.perf_counter() - start
    predictions["plain average"] = R_test.mean(axis=1), 0.0
    predictions[f"best single ({stack.model_names_[best]})"] = R_test[:, best], 0.0
    return predictions


def scores(y, p, seconds):
    return {
        "average precision": average_precision_score(y, p),
        "ROC AUC": roc_auc_score(y, p),
        "log loss": log_loss(y, p),
        "balanced accuracy": balanced_accuracy_score(y, p > 0.5),
        "seconds": seconds,
    }


def draw(stack, y_test, predictions, path):
    figure, (curves, models) = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for (name, (p, _)), style in zip(predictions.items(), ("-", "--", "-.", ":"), strict=True):
        PrecisionRecallDisplay.from_predictions(
            y_test, p, name=name, ax=curves, curve_kwargs={"linestyle": style}
        )
    curves.set(title="Held-out rows", xlabel="recall", ylabel="precision", aspect="auto")
    curves.legend(loc="lower left", fontsize=8)
    LatentSpaceDisplay.from_estimator(stack.meta_, names=stack.get_feature_names_out()).plot(models)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
