"""The goals that were set before the benchmark, each with what was measured: over all families, and
over the half of the families that no choice of a default looked at.
"""

import pandas as pd
from comparison import RANKED, against, by_unit, p_text, ranks

# The other half: dermatology, ecoli, flare, haberman, kddcup, led7digit, new-thyroid, page-blocks,
# shuttle, winequality, wisconsin.
JUDGING = [
    "abalone",
    "car",
    "glass",
    "iris",
    "kr-vs-k",
    "pima",
    "poker",
    "segment",
    "vehicle",
    "vowel",
    "yeast",
]
PLACES = {"average precision": 1, "ROC AUC": 2, "log loss": 1}
TO_BEAT = [
    "logistic, probabilities",
    "plain average",
    "best single model",
    "LightGBM",
    "super learner",
]
INCOMPLETE = ["10 % of cells", "30 % of cells", "50 % of cells", "groups", "failed folds"]
MARGIN = 0.01


def goals(parts, ours):
    """One row per goal; parts from scenario to table of scores."""
    columns = {}
    for title, families in (("all families", None), ("judging half", JUDGING)):
        chosen = {
            s: part if families is None else part[part["family"].isin(families)]
            for s, part in parts.items()
        }
        rows = on_complete(chosen["complete"], ours) if "complete" in chosen else {}
        for scenario in INCOMPLETE:
            if scenario in chosen:
                rows |= on_incomplete(scenario, chosen[scenario], ours)
        columns[title] = {
            goal: f"{'met' if met else 'missed'}: {found}" for goal, (met, found) in rows.items()
        }
    return pd.DataFrame(columns)


def on_complete(part, ours):
    rows = {}
    for metric, goal in PLACES.items():
        mean = ranks(part, metric).mean()
        place = int(mean.rank(method="min")[ours])
        rest = f"rank {mean[ours]:.2f}, best peer {mean.drop(ours).min():.2f} ({mean.drop(ours).idxmin()})"
        rows[f"mean rank in {metric}: place {goal}{' or better' if goal > 1 else ''}"] = (
            place <= goal,
            f"place {place}, {rest}",
        )
    found = against(part, ours, "average precision")
    short = found[found["wins"] <= found["losses"]]
    rows["more wins than losses in average precision against each peer"] = (
        short.empty,
        _records(short) or "all",
    )
    short = found.loc[TO_BEAT]
    short = short[(short["p"] >= 0.05) | (short["gain"] <= 0)]
    rows[f"p < .05 in average precision against {'; '.join(TO_BEAT)}"] = (
        short.empty,
        _records(short) or "all",
    )
    scores = by_unit(part, "average precision")
    difference = scores[ours] - scores["plain average"]
    rows[f"never more than {MARGIN} below the plain average in a family"] = (
        difference.min() >= -MARGIN,
        f"worst {difference.min():+.4f} ({difference.idxmin()})",
    )
    return rows


def on_incomplete(scenario, part, ours):
    places = {metric: int(ranks(part, metric).mean().rank(method="min")[ours]) for metric in RANKED}
    rows = {
        f"{scenario}: first in mean rank in all three": (
            set(places.values()) == {1},
            ", ".join(f"{metric} {place}" for metric, place in places.items()),
        )
    }
    for metric in ("average precision", "log loss"):
        found = against(part, ours, metric)
        beaten = (found["p"] < 0.05) & (found["gain"] > 0)
        rows[f"{scenario}: p < .05 in {metric} against every peer"] = (
            beaten.all(),
            f"{beaten.sum()} of {len(found)}",
        )
    return rows


def _records(found):
    return "; ".join(
        f"{peer} {row.wins:.0f}-{row.losses:.0f}, {p_text(row.p)}" for peer, row in found.iterrows()
    )
