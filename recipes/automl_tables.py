"""Tables and picture of `benchmark_automl.py`, from its records."""

import numpy as np
import pandas as pd
from automl_sets import CHOSEN_ON, describe
from comparison import against, markdown, p_text
from matplotlib import pyplot

SCORES = ["log loss", "average precision", "ROC AUC", "Brier"]
MEGABYTE = 1e6
POOLS = ("fast", "default", "best")
COMPLETE = 0.8  # share of the sets without which a system stays out of means and pictures


def make_tables(records):
    """Every table of the page, from its name to Markdown."""
    records = named(records)
    tables = {
        "sets": markdown(describe(), "set", digits=3),
        "means": markdown(means(records[records["split"] == 0]), "system, split 0"),
    }
    for ours in ("default", "best", "fast"):
        tables[f"{ours} against"] = markdown(pairs(records, ours), f"{ours} against")
        half = records[~records["set"].isin(CHOSEN_ON)]
        tables[f"{ours} against, judged"] = markdown(pairs(half, ours), f"{ours} against")
    tables["failures"] = markdown(failures(records), "system")
    tables["losses"] = markdown(losses(records, "default", "AutoGluon medium, 1 x default"), "set")
    return tables


def named(records):
    """Records with the columns that `comparison` wants; a method is a system and its time."""
    budget = records["budget"].where(records["budget"] == "", ", " + records["budget"])
    return records.assign(
        method=records["system"] + budget, fold=records["split"], family=records["set"]
    )


def means(records):
    """Scores, seconds and bytes over the sets on which all complete methods have a score."""
    good = records[records["status"] == "ok"]
    n_sets = good["set"].nunique()
    counts = good.groupby("method")["set"].nunique()
    complete = good[good["method"].isin(counts.index[counts >= COMPLETE * n_sets])]
    everywhere = complete.groupby("set")["method"].nunique() == complete["method"].nunique()
    common = complete[complete["set"].isin(everywhere.index[everywhere])]
    groups = common.groupby("method")
    table = groups[SCORES].mean()
    table["fit, s"] = groups["fit seconds"].median().map("{:.1f}".format)
    table["predict, s"] = groups["predict seconds"].median().map("{:.3f}".format)
    table["memory, MB"] = (groups["memory"].median() / MEGABYTE).map("{:.0f}".format)
    table["disk, MB"] = (groups["disk"].median() / MEGABYTE).map("{:.1f}".format)
    table.insert(0, "sets", groups["set"].nunique().astype(str))
    return table.sort_values("log loss")


def pairs(records, ours):
    """Ours against each rival on the splits that both have: sets won, tied and lost, Wilcoxon's p."""
    good = records[records["status"] == "ok"]
    rows = {}
    for rival in good["method"].unique():
        if rival == ours:
            continue
        both = good[good["method"].isin([ours, rival])]
        both = both[both.groupby(["set", "split"])["method"].transform("nunique") == 2]
        if not len(both):
            continue
        row = {"sets": str(both["set"].nunique()), "fits": str(len(both) // 2)}
        for metric in SCORES[:3]:
            found = against(both, ours, metric, "set").loc[rival]
            row[metric] = f"{found.wins:.0f}-{found.ties:.0f}-{found.losses:.0f}, {p_text(found.p)}"
            row[f"mean gain, {metric}"] = f"{found.gain:+.4f}".replace("0.", ".")
        rows[rival] = row
    return pd.DataFrame(rows).T


def failures(records):
    """Fits, those that failed or were killed, and those that took half as long again as allowed."""
    rows = {}
    for method, part in records.groupby("method"):
        late = part["fit seconds"] > 1.5 * part["limit"]
        errors = part.loc[part["status"] != "ok", "error"]
        rows[method] = {
            "fits": str(len(part)),
            "failed": str((part["status"] != "ok").sum()),
            "late": str(late.sum()) if part["limit"].notna().any() else "",
            "seconds / limit": f"{(part['fit seconds'] / part['limit']).median():.2f}"
            if part["limit"].notna().any()
            else "",
            "the commonest error": errors.value_counts().index[0][:90] if len(errors) else "",
        }
    return pd.DataFrame(rows).T


def losses(records, ours, rival, n=8):
    """The sets on which ours loses most in log loss, in per cent of the rival's, and the others'."""
    good = records[records["status"] == "ok"]
    mean = good.groupby(["set", "method"])[["log loss", "average precision"]].mean().unstack()
    if rival not in mean["log loss"]:
        return pd.DataFrame()
    found = pd.DataFrame(
        {
            f"log loss, {ours}": mean["log loss"][ours],
            f"log loss, {rival}": mean["log loss"][rival],
            f"average precision, {ours}": mean["average precision"][ours],
            f"average precision, {rival}": mean["average precision"][rival],
        }
    ).dropna()
    worst = found.iloc[:, 0] / found.iloc[:, 1] - 1
    return found.loc[worst.sort_values(ascending=False).index[:n]]


def draw(records, path):
    """Log loss of ours against a rival's set by set, and against AutoGluon's time."""
    records = named(records)
    good = records[records["status"] == "ok"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 6.2), layout="constrained")
    loss = good.groupby(["set", "method"])["log loss"].mean().unstack()
    columns = {
        "default, AutoGluon medium": ("default", "AutoGluon medium, 1 x default", "o", "C3"),
        "best, AutoGluon best": ("best", "AutoGluon best, 1 x best", "s", "0.4"),
    }
    columns = {
        label: entry for label, entry in columns.items() if {entry[0], entry[1]} <= set(loss)
    }
    gains = {
        label: 100 * (loss[ours] / loss[rival] - 1) for label, (ours, rival, *_) in columns.items()
    }
    if gains:
        order = next(iter(gains.values())).dropna().sort_values().index
        for label, gain in gains.items():
            _, _, marker, colour = columns[label]
            left.plot(gain.reindex(order), np.arange(len(order)), marker, color=colour, label=label)
        left.set_yticks(np.arange(len(order)), order, fontsize=7)
        left.axvline(0, color="0.7", linewidth=1)
        left.set_xscale("symlog", linthresh=1)
        left.xaxis.set_major_formatter("{x:g}")
        left.set(xlabel="log loss against the rival's, % (left of 0: ours is better)")
        left.legend(fontsize=8)
    _draw_time(right, good)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_time(axes, good):
    """Median log loss above that of default, by the seconds that the rival took, over the sets that
    all have.
    """
    part = good[good["split"] == 0]
    loss = part.pivot_table(index="set", columns="method", values="log loss")
    loss = loss.loc[:, loss.notna().mean() >= COMPLETE].dropna()
    seconds = part.pivot_table(index="set", columns="method", values="fit seconds").loc[loss.index]
    points = {}
    for method in loss:
        system = method.partition(",")[0]
        times = (seconds[method] / seconds["default"]).median()
        points.setdefault(system, []).append(
            (times, (100 * (loss[method] / loss["default"] - 1)).median())
        )
    for (system, found), marker in zip(points.items(), "osD^vPX*", strict=False):
        ours = {"color": "C3"} if system in POOLS else {"color": "0.4"}
        axes.plot(*zip(*sorted(found), strict=True), "-", marker=marker, **ours)
        times, gap = max(found)
        axes.annotate(system, (times, gap), (6, 4), textcoords="offset points", fontsize=8)
    axes.axhline(0, color="0.8", linewidth=1, zorder=0)
    axes.set(
        xscale="log",
        xlabel="seconds for the fit, times those of default (median)",
        ylabel="log loss, median % above that of default",
    )
    axes.set_xticks([0.5, 1, 2, 5, 10, 30], ["0.5", "1", "2", "5", "10", "30"])
    axes.minorticks_off()
    axes.set_xlim(0.45, 2 * max(times for found in points.values() for times, _ in found))
