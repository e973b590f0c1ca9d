"""Is CFEnsemble better than other ways to combine models on imbalanced data?

All 77 imbalanced sets of KEEL with at least 20 positives, 17 base models, five outer folds
(`recipes/real_sets.py`, an hour on two cores the first time). Every combiner sees the same
out-of-fold predictions and is scored on the same held-out rows: complete predictions on all sets,
the other scenarios of `scenarios.py` on at most two sets per family and two folds. Folds are
averaged, then sets within families of near-duplicates; mean ranks are over families, Wilcoxon's
signed-rank test over families and over sets. Peers that cannot take missing cells get the best of
four imputations (`imputation.py`).

Writes to --out the scores of every fold (CSV), tables (Markdown) and pictures of the mean ranks;
--docs puts the tables into docs/evidence.md. About 40 minutes on one core the first time, then
seconds for what has not changed; --quick, 16 sets, two folds and two scenarios, three minutes once
`real_sets.py --quick` has run.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from comparison import (
    METRICS,
    RANKED,
    against,
    by_unit,
    draw_ranks,
    markdown,
    put_tables,
    ranks,
    summary,
    wins_table,
)
from goals import goals
from peers import PEERS
from real_sets import MIN_POSITIVES, QUICK
from scenarios import SCENARIOS
from scoring import OURS, score_all

from cfens_stack import CFEnsemble
from cfens_stack.datasets import keel_family, list_keel, load_keel

DOCS = Path(__file__).parent.parent / "docs"
METHODS = {OURS: CFEnsemble(), **dict.fromkeys(PEERS)}
SUBSET_FOLDS = 2
FEW_POSITIVES = 50


def main():
    arguments = parse_arguments()
    names = QUICK if arguments.quick else list_keel(min_positives=MIN_POSITIVES)
    scenarios = arguments.scenarios or (
        ["complete", "30 % of cells"] if arguments.quick else list(SCENARIOS)
    )
    tasks = []
    for scenario in scenarios:
        all_sets = scenario == "complete" and not arguments.quick
        folds = arguments.folds if all_sets else min(arguments.folds, SUBSET_FOLDS)
        tasks += [
            (scenario, name, fold)
            for fold in range(folds)
            for name in (names if all_sets else two_a_family(names))
        ]
    table = score_all(tasks, METHODS, arguments.jobs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "benchmark_imbalanced.csv", index=False)
    tables = make_tables(table)
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in tables.items())
    (arguments.out / "benchmark_imbalanced.md").write_text(text + "\n")
    print(text)
    draw(table, arguments.out)
    if arguments.docs:
        put_tables(DOCS / "evidence.md", tables)
        draw(table, DOCS)
    print(f"\nscores, tables and pictures: {arguments.out.resolve()}")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="16 sets, two folds, two scenarios")
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), help="default: all")
    parser.add_argument("--folds", type=int, default=5, help="outer folds (default: 5)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmark_imbalanced"), help="folder of the results"
    )
    parser.add_argument("--docs", action="store_true", help="put tables and pictures into docs/")
    return parser.parse_args()


def two_a_family(names):
    """The first and the last set of each family by name."""
    families = {}
    for name in names:
        families.setdefault(keel_family(name), []).append(name)
    return [name for sets in families.values() for name in dict.fromkeys([sets[0], sets[-1]])]


def make_tables(table):
    """Every table of the page, from its name to Markdown."""
    scenarios = [scenario for scenario in SCENARIOS if scenario in set(table["scenario"])]
    parts = {scenario: table[table["scenario"] == scenario] for scenario in scenarios}
    tables = {"goals": markdown(goals(parts, OURS), "goal")}
    if "complete" in parts:
        complete = parts["complete"]
        tables["complete"] = markdown(summary(complete))
        tables["complete, wins"] = markdown(wins_table(complete, OURS), f"{OURS} against")
        few = complete[complete["set"].map(n_positives) <= FEW_POSITIVES]
        parts["20-50 positives"] = few
        tables["few positives"] = markdown(summary(few, RANKED))
        tables["families"] = markdown(worst_families(complete), "family")
    for metric in RANKED:
        found = {scenario: ranks(part, metric).mean() for scenario, part in parts.items()}
        tables[f"scenarios, rank, {metric}"] = markdown(
            pd.DataFrame(found).sort_values(next(iter(found))), digits=2
        )
    tables["scenarios, mean"] = markdown(scenario_means(parts), "scenario")
    tables["scenarios, wins"] = markdown(scenario_wins(parts), f"{OURS} against")
    tables["scenarios, place"] = markdown(places(parts), "scenario")
    return tables


def n_positives(name):
    return load_keel(name).n_positives


def worst_families(part):
    """CFEnsemble and the plain average by family, from the largest loss of average precision."""
    scores = by_unit(part, "average precision")
    found = scores[[OURS, "plain average"]].assign(
        difference=scores[OURS] - scores["plain average"]
    )
    best = scores.ge(scores.max(axis=1) - 1e-9, axis=0)
    found["best"] = best.apply(
        lambda row: " / ".join(row.index[row]) if row.sum() < 4 else f"{row.sum()} tie", axis=1
    )
    return found.sort_values("difference")


def scenario_means(parts):
    """Average precision and log loss of CFEnsemble, and of the peer that is best on average."""
    rows = {}
    for scenario, part in parts.items():
        row = {
            "families": part["family"].nunique(),
            "sets": part["set"].nunique(),
            "folds": part["fold"].nunique(),
        }
        for metric in ("average precision", "log loss"):
            means = METRICS[metric] * by_unit(part, metric).mean()
            peers = means.drop(OURS)
            row |= {
                metric: abs(means[OURS]),
                f"best peer, {metric}": f"{abs(peers.max()):.4f} ({peers.idxmax()})".lstrip("0"),
            }
        rows[scenario] = row
    return pd.DataFrame(rows).T


def scenario_wins(parts):
    """Wins and losses over families against each peer: average precision / log loss, * where p <
    0.05.
    """
    columns = {}
    for scenario, part in parts.items():
        cells = {}
        for metric in ("average precision", "log loss"):
            for peer, row in against(part, OURS, metric).iterrows():
                star = "*" if row.p < 0.05 else ""
                cells.setdefault(peer, []).append(f"{row.wins:.0f}-{row.losses:.0f}{star}")
        columns[scenario] = {peer: " / ".join(pair) for peer, pair in cells.items()}
    return pd.DataFrame(columns)


def places(parts):
    """Place of CFEnsemble among all methods by mean rank; peers beaten; seconds beside the
    imputation's.
    """
    rows = {}
    for scenario, part in parts.items():
        row = {}
        for metric in RANKED:
            row[f"place, {metric}"] = int(ranks(part, metric).mean().rank(method="min")[OURS])
        for metric in ("average precision", "log loss"):
            found = against(part, OURS, metric)
            row[f"p<.05 {metric}"] = (
                f"{int(np.sum((found['p'] < 0.05) & (found['gain'] > 0)))} of {len(found)}"
            )
        folds = part.groupby(["set", "fold"])
        ours = part[part["method"] == OURS].set_index(["set", "fold"])["seconds"]
        iterative = folds["iterative seconds"].max().dropna()
        row["fit and predict, s"] = f"{ours.median():.3f}"
        row["IterativeImputer, s"] = f"{iterative.median():.3f}" if len(iterative) else ""
        row["ratio"] = (
            f"{(iterative / ours.reindex(iterative.index)).median():.1f}" if len(iterative) else ""
        )
        rows[scenario] = row
    return pd.DataFrame(rows).T


def draw(table, folder):
    """Mean ranks: three metrics on complete predictions; log loss by scenario of missing cells."""
    parts = dict(tuple(table.groupby("scenario")))
    if "complete" in parts:
        panels = {metric: (parts["complete"], metric) for metric in RANKED}
        draw_ranks(panels, OURS, folder / "evidence_ranks.png")
    missing = [
        s for s in ("10 % of cells", "30 % of cells", "50 % of cells", "groups") if s in parts
    ]
    if missing:
        panels = {f"{scenario} missing": (parts[scenario], "log loss") for scenario in missing}
        draw_ranks(panels, OURS, folder / "evidence_missing.png")


if __name__ == "__main__":
    main()
