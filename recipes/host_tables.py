"""Tables and picture of docs/hosts.md, from the scores by host, set, split, scenario and method."""

import numpy as np
import pandas as pd
from comparison import METRICS, against, by_unit, markdown, p_text
from matplotlib import pyplot

OURS, FEW, OWN = "CFEnsemble", "CFEnsemble, few models", "the host's own"
COMPARED = ["average precision", "log loss"]
# What the host's own ensemble does to complete predictions, where cells are filled.
OWN_WAY = {"AutoGluon": "greedy, log loss"}
OWN_WAY_ELSEWHERE = "logistic, probabilities"
ALL = "all hosts"


def make_tables(table):
    """Every table of the page, from its name to Markdown."""
    table = table.assign(family=table["set"], fold=table["split"])
    parts = dict(tuple(table.groupby("scenario", sort=False)))
    complete = parts.pop("complete")
    tables = {"hosts, sizes": markdown(sizes(complete), "host")}
    for metric in COMPARED:
        tables[f"hosts, {metric}"] = markdown(means(complete, metric))
        tables[f"hosts, wins, {metric}"] = markdown(wins(complete, metric), f"{OURS} against")
        tables[f"hosts, few, {metric}"] = markdown(wins(complete, metric, FEW), f"{FEW}, against")
    for metric in COMPARED:
        tables[f"hosts, missing, {metric}"] = markdown(missing_wins(parts, metric), "what, where")
    return tables


def by_host(part):
    """(host, its part), and all of them together."""
    return [*part.groupby("host", sort=False), (ALL, part)]


def sizes(part):
    """Sets and splits; models of the host, of its ensemble, of the small CFEnsemble; seconds."""
    rows = {}
    for host, found in part.groupby("host", sort=False):
        models = found.groupby("method")["models"].mean()
        seconds = found.groupby("method")["seconds"].median()
        rows[host] = {
            "sets": found["set"].nunique(),
            "splits": found["split"].nunique(),
            "models": f"{models[OURS]:.1f}",
            "asked by its ensemble": f"{models[OWN]:.1f}",
            f"by {FEW}": f"{models[FEW]:.1f}",
            f"{OURS}, s": f"{seconds[OURS]:.2f}",
            "logistic CV, s": f"{seconds['logistic, logits, CV']:.2f}",
        }
    return pd.DataFrame(rows).T


def means(part, metric):
    """Mean over sets; one column per host."""
    columns = {host: by_unit(found, metric, "set").mean() for host, found in by_host(part)}
    return pd.DataFrame(columns).sort_values(ALL, ascending=METRICS[metric] < 0)


def wins(part, metric, ours=OURS):
    """Wins-ties-losses over sets against each rival, mean gain, p; one column per host."""
    columns = {
        host: wins_text(against(found, ours, metric, "set")) for host, found in by_host(part)
    }
    return pd.DataFrame(columns).reindex(sorted(columns[ALL].index, key=_rival_order))


def wins_text(found):
    """What `against` found, by rival: wins-ties-losses, mean gain, p."""
    text = [
        f"{row.wins:.0f}-{row.ties:.0f}-{row.losses:.0f}, {signed(row.gain)}, {p_text(row.p)}"
        for row in found.itertuples()
    ]
    return pd.Series(text, index=found.index)


def signed(gain):
    return f"{gain:+.4f}".replace("0.", ".", 1)


def _rival_order(rival):
    first = [OWN, OURS, FEW, "logistic, logits, CV"]
    return (first.index(rival) if rival in first else len(first), rival)


def missing_wins(parts, metric):
    """`wins_text` by scenario and host; the host's own way is that on filled cells."""
    rows = {}
    for scenario, part in parts.items():
        for host, found in by_host(with_own_way(part)):
            rows[f"{scenario}, {host}"] = wins_text(against(found, OURS, metric, "set"))
    return pd.DataFrame(rows).T


def with_own_way(part):
    way = part["host"].map(OWN_WAY).fillna(OWN_WAY_ELSEWHERE)
    own = part[part["method"] == way].assign(method=OWN)
    return pd.concat([part, own])


def draw(table, path):
    """Mean gain over the host's own ensemble, by method and host, with 95 % of the bootstrap over
    sets.
    """
    part = table[table["scenario"] == "complete"].assign(family=lambda t: t["set"])
    rng = np.random.default_rng(0)
    hosts = by_host(part)
    figure, axes = pyplot.subplots(
        len(COMPARED), len(hosts), figsize=(13, 6), layout="constrained", sharey=True, sharex="row"
    )
    for row, metric in zip(axes, COMPARED, strict=True):
        for ax, (host, found) in zip(row, hosts, strict=True):
            scores = METRICS[metric] * by_unit(found, metric, "set")
            gains = scores.drop(columns=OWN).sub(scores[OWN], axis=0)
            methods = sorted(gains.columns, key=_rival_order, reverse=True)
            for height, method in enumerate(methods):
                gain = gains[method].to_numpy()
                draws = gain[rng.integers(len(gain), size=(2000, len(gain)))].mean(axis=1)
                colour = "C3" if method == OURS else "C1" if method == FEW else "0.4"
                ax.plot(np.quantile(draws, [0.025, 0.975]), [height, height], color=colour)
                ax.plot(gain.mean(), height, "o", color=colour)
            ax.axvline(0, color="0.6", lw=0.8)
            ax.set_yticks(range(len(methods)), methods)
            ax.grid(axis="x", color="0.9")
            ax.set_title(host if metric == COMPARED[0] else "", fontsize=10)
        better = "gain" if METRICS[metric] > 0 else "reduction"
        row[len(row) // 2].set_xlabel(f"{metric}: {better} over the host's own ensemble")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
