"""What goes wrong with the models of a host: each case is the predictions of a `HostFit` with cells
missing.
"""

from zlib import crc32

import numpy as np
from host_fits import N_FOLDS
from scenarios import Case

# What a name holds, from the toolkits' names to families of models; anything else is linear.
FAMILIES = {
    "boosting": ["LightGBM", "CatBoost", "XGBoost", "lgbm", "xgb", "catboost", "boosting"],
    "trees": ["RandomForest", "ExtraTrees", "rf", "extra_tree"],
    "distances": ["KNeighbors", "neighbours", "kernel"],
}


def make_case(scenario, host, name, number, fit):
    """The case of a scenario, drawn from a seed of its own."""
    rng = np.random.default_rng([number, crc32(f"{scenario} {host} {name}".encode())])
    return SCENARIOS[scenario](
        rng, Case(fit.R, fit.y, fit.R_test, fit.y_test), family_codes(fit.names)
    )


def family_codes(names):
    """Code of each model's family, from 0, of those that are there."""
    families = [
        next((f for f, parts in FAMILIES.items() if any(part in name for part in parts)), "linear")
        for name in names
    ]
    return np.unique(families, return_inverse=True)[1]


def complete(rng, case, families):
    return case


def failed_family(rng, case, families):
    """A family fails on one fold or two: it has no predictions of these rows; refitted on all rows,
    it predicts.
    """
    failed = families == rng.choice(np.unique(families))
    R, fold = case.R.copy(), rng.integers(N_FOLDS, size=len(case.R))
    R[np.ix_(fold < rng.integers(1, 3), failed)] = np.nan
    return Case(R, case.y, case.R_test, case.y_test)


def time_limits(rng, case, families):
    """Half of the models run out of time: in training after one to four of the folds, and they
    answer for half of the new rows before the deadline.
    """
    R, R_test = case.R.copy(), case.R_test.copy()
    fold, m = rng.integers(N_FOLDS, size=len(R)), R.shape[1]
    late = rng.random(len(R_test)) < 0.5
    for u in rng.choice(m, m // 2, replace=False):
        R[fold >= rng.integers(1, N_FOLDS), u] = np.nan
        R_test[late, u] = np.nan
    return Case(R, case.y, R_test, case.y_test)


def missing_groups(rng, case, families):
    """Each family is missing for 30 % of the rows, in training and in prediction."""
    R, R_test = (
        np.where((rng.random((len(M), families.max() + 1)) < 0.3)[:, families], np.nan, M)
        for M in (case.R, case.R_test)
    )
    return Case(R, case.y, R_test, case.y_test)


SCENARIOS = {
    "complete": complete,
    "a family fails in folds": failed_family,
    "time limits": time_limits,
    "families missing by row": missing_groups,
}
