"""What does the exact gradient of the PyTorch trainer gain over ALS?

Both trainers, at full rank and at rank 4, on real imbalanced sets: average precision, ROC AUC and
log loss on held-out rows, and seconds to fit. Families of near-duplicate sets are averaged first.
Prints a table. Takes about two minutes once the base-model predictions are there
(`recipes/real_sets.py --quick`, five minutes the first time).
"""

import argparse
import time

import pandas as pd
from real_sets import family_means, real_sets
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from cfens_stack import CFEnsemble

VARIANTS = {
    "ALS": CFEnsemble(),
    "PyTorch, projected": CFEnsemble("pytorch"),
    "PyTorch, free": CFEnsemble("pytorch", instance_factors="free"),
    "ALS, rank 4": CFEnsemble(latent_dim=4),
    "PyTorch, projected, rank 4": CFEnsemble("pytorch", latent_dim=4),
    "PyTorch, free, rank 4": CFEnsemble("pytorch", latent_dim=4, instance_factors="free"),
    "ALS, rank 4, rho 0.1": CFEnsemble(latent_dim=4, rho=0.1, use_label_aware_confidence=True),
    "PyTorch, projected, rank 4, rho 0.1": CFEnsemble("pytorch", latent_dim=4, rho=0.1),
}


def main():
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    rows = []
    for name, family, fold, R, y, R_test, y_test in real_sets(quick=True):
        for variant, meta in VARIANTS.items():
            start = time.perf_counter()
            p = meta.fit(R, y).predict_proba(R_test)[:, 1]
            rows.append(
                {
                    "variant": variant,
                    "set": name,
                    "family": family,
                    "fold": fold,
                    "average precision": average_precision_score(y_test, p),
                    "ROC AUC": roc_auc_score(y_test, p),
                    "log loss": log_loss(y_test, p),
                    "seconds": time.perf_counter() - start,
                }
            )
    table = pd.DataFrame(rows)
    print(
        family_means(table.drop(columns="fold"), ["variant"]).to_string(
            float_format="{:.4f}".format
        )
    )
    for metric in ("average precision", "log loss"):
        wide = table.groupby(["variant", "set"])[metric].mean().unstack("variant")
        for rank in ("", ", rank 4"):
            gain = wide[f"PyTorch, projected{rank}"] - wide[f"ALS{rank}"]
            p = wilcoxon(gain).pvalue
            print(
                f"{metric}{rank}: PyTorch, projected higher in {(gain > 0).sum()} of "
                f"{len(gain)} sets, p = {p:.2f}"
            )


if __name__ == "__main__":
    main()
