"""What is each part of CFEnsemble worth? Each is switched off, or its alternative on, against the
defaults.

On at most two sets per family, one fold, with complete predictions and with 30 % of the cells
missing. Means over families on held-out rows; the default's wins, ties and losses over families,
with Wilcoxon's p. Prints tables, writes the scores (CSV); --docs puts the tables into
docs/evidence.md. About ten minutes on one core the first time.
"""

import argparse
from pathlib import Path

import pandas as pd
from benchmark_imbalanced import DOCS, two_a_family
from comparison import against, by_unit, markdown, put_tables, wins_text
from imputation import row_mean
from real_sets import MIN_POSITIVES
from scoring import score_all

from cfens_stack import CFEnsemble
from cfens_stack.datasets import list_keel


class RowMeans(CFEnsemble):
    """CFEnsemble with the row mean in missing cells, so that the factorisation has nothing to
    fill.
    """

    def fit(self, R, y):
        return super().fit(row_mean(R, R)[0], y)

    def predict_proba(self, R):
        return super().predict_proba(row_mean(R, R)[0])


class RawColumns(CFEnsemble):
    """CFEnsemble that shrinks to the average of the models as they are, not of the calibrated models."""

    def _calibrates(self):
        return False


DEFAULT = "default"
VARIANTS = {
    DEFAULT: CFEnsemble(),
    "rank 1": CFEnsemble(latent_dim=1),
    "rank 4": CFEnsemble(latent_dim=4),
    "row means instead of the factorisation": RowMeans(),
    "no shrinkage": CFEnsemble(aggregator_reg=0.0),
    "shrinkage fixed at 100": CFEnsemble(aggregator_reg=100.0),
    "all the way to the average": CFEnsemble(aggregator="mean"),
    "no calibration slopes": RawColumns(),
    "weights of 0 and more": CFEnsemble(nonnegative=True),
    "smoothing 0.001": CFEnsemble(smoothing=0.001),
    "tol=1e-6 instead of 1e-4": CFEnsemble(tol=1e-6, max_iter=1000),
    "sweeps in float32": CFEnsemble(dtype="float32"),
    "identity link": CFEnsemble(link="identity"),
    "confidence: certainty": CFEnsemble(confidence="certainty"),
    "confidence: calibration": CFEnsemble(confidence="calibration"),
    "label-aware confidence off": CFEnsemble(use_label_aware_confidence=False),
    "label-aware confidence on": CFEnsemble(use_label_aware_confidence=True),
    "class weights": CFEnsemble(use_class_weights=True),
    "focal loss": CFEnsemble(focal_gamma=2.0),
    "PyTorch, projected": CFEnsemble("pytorch"),
    "PyTorch, free": CFEnsemble("pytorch", instance_factors="free"),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("ablation.csv"))
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/evidence.md")
    arguments = parser.parse_args()
    names = two_a_family(list_keel(min_positives=MIN_POSITIVES))
    scenarios = ["complete", "30 % of cells"]
    tasks = [(scenario, name, 0) for scenario in scenarios for name in names]
    table = score_all(tasks, VARIANTS, arguments.jobs)
    table.to_csv(arguments.out, index=False)
    tables = {
        f"ablation, {scenario}": markdown(effects(part), "variant")
        for scenario, part in table.groupby("scenario")
    }
    for name, body in tables.items():
        print(f"\n{name}\n\n{body}")
    if arguments.docs:
        put_tables(DOCS / "evidence.md", tables)


def effects(part):
    """Mean of each variant over families, and the default against it."""
    columns = {}
    for metric in ("average precision", "log loss"):
        columns[metric] = by_unit(part, metric).mean()
        columns[f"default wins, {metric}"] = wins_text(against(part, DEFAULT, metric))
    columns["seconds"] = part.groupby("method")["seconds"].median()
    return pd.DataFrame(columns).reindex(VARIANTS).fillna("")


if __name__ == "__main__":
    main()
