"""Tables and pictures of a comparison of methods: means over families, mean ranks, wins, Wilcoxon's
test.

A table of scores has one row per method, set and fold, with columns "method", "set", "family" and
"fold", and one column per metric.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot
from scipy.stats import studentized_range, wilcoxon

METRICS = {  # sign: larger is better; of any other metric too
    "average precision": 1,
    "ROC AUC": 1,
    "log loss": -1,
    "Brier": -1,
    "balanced accuracy": 1,
}
RANKED = ["average precision", "ROC AUC", "log loss"]


def by_unit(table, metric, unit="family"):
    """Score of each method (columns) in each set or family (rows): folds averaged, then sets."""
    sets = table.groupby(["family", "set", "method"])[metric].mean()
    return (
        sets.unstack().dropna()
        if unit == "set"
        else sets.groupby(["family", "method"]).mean().unstack().dropna()
    )


def ranks(table, metric, unit="family"):
    """Rank of each method in each unit, 1 the best; ties share."""
    return (
        (METRICS.get(metric, 1) * by_unit(table, metric, unit))
        .round(12)
        .rank(axis=1, ascending=False)
    )


def summary(table, metrics=tuple(METRICS), ranked=tuple(RANKED)):
    """Mean over families of each metric, and mean rank over families."""
    columns = {metric: by_unit(table, metric).mean() for metric in metrics}
    columns |= {f"rank {metric}": ranks(table, metric).mean() for metric in ranked}
    return pd.DataFrame(columns).sort_values(f"rank {ranked[0]}")


def against(table, ours, metric, unit="family"):
    """Wins, ties and losses of a method against each other one, mean gain, and Wilcoxon's two-sided
    p.
    """
    scores = (METRICS.get(metric, 1) * by_unit(table, metric, unit)).round(12)
    rows = {}
    for peer in scores.columns.drop(ours):
        gain = (scores[ours] - scores[peer]).to_numpy()
        counts = [int(np.sum(gain > 0)), int(np.sum(gain == 0)), int(np.sum(gain < 0))]
        p = wilcoxon(gain[gain != 0]).pvalue if np.any(gain) else 1.0
        rows[peer] = {
            "wins": counts[0],
            "ties": counts[1],
            "losses": counts[2],
            "gain": gain.mean(),
            "p": p,
        }
    return pd.DataFrame(rows).T


def wins_table(table, ours, metrics=tuple(RANKED), units=("family", "set")):
    """`against` over families and over sets, as text: wins-ties-losses, p."""
    columns = {}
    for metric in metrics:
        for unit in units:
            title = f"{metric}, {'families' if unit == 'family' else 'sets'}"
            columns[title] = wins_text(against(table, ours, metric, unit))
    order = ranks(table, metrics[0]).mean().sort_values().index.drop(ours)
    return pd.DataFrame(columns).reindex(order)


def wins_text(found):
    """What `against` found, by peer: wins-ties-losses, p."""
    text = [
        f"{row.wins:.0f}-{row.ties:.0f}-{row.losses:.0f}, {p_text(row.p)}"
        for row in found.itertuples()
    ]
    return pd.Series(text, index=found.index)


def p_text(p):
    return "p<.001" if p < 0.001 else f"p={p:.3f}".replace("0.", ".")


def critical_difference(n_methods, n_units, level=0.05):
    """Nemenyi's distance of mean ranks that is significant at a level (Demsar 2006)."""
    q = studentized_range.ppf(1 - level, n_methods, np.inf) / np.sqrt(2)
    return q * np.sqrt(n_methods * (n_methods + 1) / (6 * n_units))


def markdown(frame, corner="method", digits=4):
    """A data frame as a markdown table; two digits in columns of ranks, no zero before the
    point.
    """

    def cell(column, value):
        if not isinstance(value, float):
            return str(value)
        n = 2 if str(column).startswith("rank") else digits
        rounded = round(value, n) + 0.0  # no minus zero
        text = f"{rounded:.{n}f}"
        return text.replace("0.", ".", 1) if abs(rounded) < 1 else text

    lines = [
        f"| {corner} | {' | '.join(map(str, frame.columns))} |",
        "|---" * (frame.shape[1] + 1) + "|",
    ]
    for name, row in zip(frame.index, frame.to_numpy(dtype=object), strict=True):
        lines.append(f"| {name} | {' | '.join(map(cell, frame.columns, row))} |")
    return "\n".join(lines)


def draw_ranks(panels, ours, path):
    """Mean ranks with the critical difference; one panel per title, given as (table, metric)."""
    figure, axes = pyplot.subplots(
        1,
        len(panels),
        figsize=(3.4 * len(panels) + 1.5, 4.6),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    first_table, first_metric = next(iter(panels.values()))
    order = ranks(first_table, first_metric).mean().sort_values(ascending=False).index
    heights = np.arange(len(order))
    for ax, (title, (table, metric)) in zip(axes[0], panels.items(), strict=True):
        found = ranks(table, metric)
        mean = found.mean().reindex(order)
        distance = critical_difference(found.shape[1], len(found))
        ax.axvspan(mean[ours] - distance, mean[ours] + distance, color="0.93")
        ax.plot(mean, heights, "o", color="0.35")
        ax.plot(mean[ours], list(order).index(ours), "o", color="C3")
        ax.set_yticks(heights, order)
        ax.grid(axis="x", color="0.9")
        ax.set(
            title=title, xlabel="mean rank over families", xlim=(mean.min() - 0.5, mean.max() + 0.5)
        )
    figure.supxlabel(
        "grey band: not told apart from CFEnsemble at 5 % (Nemenyi)", fontsize=8, color="0.4"
    )
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def put_tables(path, tables):
    """Replace what stands between `<!-- table: NAME -->` and `<!-- end -->` in a page by the table
    of that name.
    """
    text = path.read_text()
    for name, body in tables.items():
        start, end = f"<!-- table: {name} -->", "<!-- end -->"
        if start in text:
            before, rest = text.split(start, 1)
            text = f"{before}{start}\n\n{body}\n\n{end}{rest.split(end, 1)[1]}"
    path.write_text(text)
