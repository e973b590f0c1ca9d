"""Do class weights or focal loss harm the probabilities, and how should one decide with rare
classes?

Class weights and focal loss tilt probabilities towards the rare class. `posterior="natural"`, the
default, undoes the tilt, `posterior="weighted"` keeps it. On 16 real imbalanced sets
(`recipes/real_sets.py --quick`, five minutes the first time): log loss, Brier score and balanced
accuracy at 1/2 on held-out rows. Two ways to decide leave the probabilities alone: the threshold at the
prevalence, and scikit-learn's TunedThresholdClassifierCV. Means over families of
near-duplicate sets. Prints a table, writes reliability diagrams of one set. Takes about two
minutes; --quick one.
"""

import argparse
from pathlib import Path

import pandas as pd
from matplotlib import pyplot
from real_sets import N_FOLDS, QUICK, family_means, keel_family, predictions
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, log_loss
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble
from cfens_stack.display import ReliabilityDisplay

TILTS = {
    "class weights": {"use_class_weights": True},
    "focal loss": {"focal_gamma": 2.0},
    "both": {"use_class_weights": True, "focal_gamma": 2.0},
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="one outer fold of each set instead of three"
    )
    parser.add_argument("--data", default="page-blocks0", choices=QUICK, help="set of the picture")
    parser.add_argument("--picture", type=Path, default=Path("calibration.png"))
    arguments = parser.parse_args()
    tasks = [
        (name, fold) for name in QUICK for fold in range(1 if arguments.quick else min(3, N_FOLDS))
    ]
    with threadpool_limits(1):
        table = pd.DataFrame(row for task in tqdm(tasks, unit="fold") for row in run(*task))
    print(
        family_means(table.drop(columns="fold"), ["variant"]).to_string(
            float_format="{:.4f}".format
        )
    )
    draw(arguments.data, arguments.picture)
    print(f"picture: {arguments.picture.resolve()}")


def run(name, fold):
    """Scores of every variant on one outer fold."""
    R, y, R_test, y_test = predictions(name, fold, "imbalanced")
    for variant, classifier in variants(prevalence=y.mean()).items():
        classifier.fit(R, y)
        p, decision = classifier.predict_proba(R_test)[:, 1], classifier.predict(R_test)
        yield {
            "variant": variant,
            "set": name,
            "family": keel_family(name),
            "fold": fold,
            "log loss": log_loss(y_test, p),
            "Brier": brier_score_loss(y_test, p),
            "balanced accuracy": balanced_accuracy_score(y_test, decision),
            "F1": f1_score(y_test, decision, zero_division=0.0),
        }


def variants(prevalence):
    """Classifiers by name."""
    found = {"default": CFEnsemble()}
    for name, settings in TILTS.items():
        for posterior in ("natural", "weighted"):
            found[f"{name}, {posterior}"] = CFEnsemble(posterior=posterior, **settings)
    found["default, threshold at the prevalence"] = FixedThresholdClassifier(
        CFEnsemble(), threshold=prevalence
    )
    for metric, scoring in (("balanced accuracy", "balanced_accuracy"), ("F1", "f1")):
        tuned = TunedThresholdClassifierCV(CFEnsemble(), scoring=scoring, cv=5, random_state=0)
        found[f"default, threshold tuned for {metric}"] = tuned
    return found


def draw(name, path):
    """Reliability before and after the correction, held-out rows of one set."""
    R, y, R_test, y_test = predictions(name, 0, "imbalanced")
    figure, axes = pyplot.subplots(
        1, len(TILTS), figsize=(13, 4.2), layout="constrained", sharey=True
    )
    for ax, (tilt, settings) in zip(axes, TILTS.items(), strict=True):
        ReliabilityDisplay.from_estimator(
            CFEnsemble(**settings).fit(R, y), R_test, y_test, n_bins=12
        ).plot(ax)
        ax.set_title(f"{name}: {tilt}")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
