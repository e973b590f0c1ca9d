"""What can be wrong with a matrix of predictions: missing cells, groups, folds and labels, many
models, few positives.

Each scenario turns the predictions of one outer fold of `real_sets.predictions` into a `Case`.
Labels and rows are taken from the combiner only: the base models have seen all training labels.
"""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from real_sets import base_models
from scipy.special import expit, logit
from sklearn.model_selection import train_test_split

# Below it a scenario is skipped: cross-validated peers need a positive in each fold.
MIN_POSITIVES = 5
# Base models by what they need: numbers, distances, or trees; the modalities of the scenario
# "groups".
GROUPS = {
    "lines": ["logistic", "discriminant", "naive_bayes", "balanced_logistic", "quadratic", "net"],
    "distances": ["neighbours", "kernel", "svm"],
    "trees": ["random_forest", "balanced_forest", "extra_trees", "tree", "undersampled_forest"],
    "boosting": ["gradient_boosting", "balanced_boosting", "lightgbm"],
}


@dataclass
class Case:
    """Predictions of one fold as the combiner gets them; labels of rows without one are -1."""

    R: np.ndarray  # (n, m), NaN where missing
    y: np.ndarray  # (n,)
    R_test: np.ndarray  # (n_test, m)
    y_test: np.ndarray  # (n_test,)

    @property
    def labelled(self):
        return self.y >= 0


def make_case(scenario, name, fold, R, y, R_test, y_test):
    """The case of a scenario, drawn from a seed of its own; None if too few positives would be
    left.
    """
    rng = np.random.default_rng([fold, crc32(f"{scenario} {name}".encode())])
    case = SCENARIOS[scenario](rng, Case(R, y, R_test, y_test))
    return case if np.sum(case.y == 1) >= MIN_POSITIVES else None


def complete(rng, case):
    return case


def missing_cells(share):
    """A share of the cells missing at random, in training and in prediction."""

    def change(rng, case):
        R, R_test = (
            np.where(rng.random(M.shape) < share, np.nan, M) for M in (case.R, case.R_test)
        )
        return Case(R, case.y, R_test, case.y_test)

    return change


def missing_groups(rng, case):
    """Each group of models missing for a random 30 % of the rows, in training and in prediction."""
    group_of = {model: g for g, models in enumerate(GROUPS.values()) for model in models}
    groups = np.array([group_of[model] for model, _ in base_models()])
    R, R_test = (
        np.where((rng.random((len(M), len(GROUPS))) < 0.3)[:, groups], np.nan, M)
        for M in (case.R, case.R_test)
    )
    return Case(R, case.y, R_test, case.y_test)


def missing_family(rng, case):
    """Trees and boosting missing for 60 % of the rows, in training and in prediction."""
    family = {*GROUPS["trees"], *GROUPS["boosting"]}
    columns = np.array([model in family for model, _ in base_models()])
    R, R_test = (
        np.where((rng.random(len(M)) < 0.6)[:, None] & columns, np.nan, M)
        for M in (case.R, case.R_test)
    )
    return Case(R, case.y, R_test, case.y_test)


def missing_at_prediction(share):
    """A share of the cells missing at random, in prediction only."""

    def change(rng, case):
        R_test = np.where(rng.random(case.R_test.shape) < share, np.nan, case.R_test)
        return Case(case.R, case.y, R_test, case.y_test)

    return change


def failed_folds(rng, case):
    """Half of the models failed in one inner fold, a contiguous quarter of the rows; refitted, they
    predict.
    """
    R = case.R.copy()
    quarters = np.array_split(np.arange(len(R)), 4)
    for u in np.flatnonzero(rng.random(R.shape[1]) < 0.5):
        R[quarters[rng.integers(4)], u] = np.nan
    return Case(R, case.y, case.R_test, case.y_test)


def few_labels(share):
    """All but a stratified share of the training labels hidden."""

    def change(rng, case):
        y = np.full(len(case.y), -1)
        labelled = _stratified(rng, case.y, share)
        y[labelled] = case.y[labelled]
        return Case(case.R, y, case.R_test, case.y_test)

    return change


def many_models(rng, case):
    """83 more models: noisy mixtures of three of the models on the logit scale, so that all 100 are
    correlated.
    """
    n_more, m = 100 - case.R.shape[1], case.R.shape[1]
    mixture = np.zeros((m, n_more))
    for column in mixture.T:
        column[rng.choice(m, 3, replace=False)] = rng.dirichlet(np.ones(3))
    wide = []
    for M in (case.R, case.R_test):
        z = logit(np.clip(np.where(np.isnan(M), 0.5, M), 1e-3, 1 - 1e-3)) @ mixture
        wide.append(np.column_stack([M, expit(z + 0.5 * rng.standard_normal(z.shape))]))
    return Case(wide[0], case.y, wide[1], case.y_test)


def few_positives(rng, case):
    """Rows left out, at the same prevalence, until 25 positives remain; only where at least 50 are
    there.
    """
    positives = np.sum(case.y == 1)
    if positives < 50:
        return Case(case.R, np.zeros_like(case.y), case.R_test, case.y_test)
    kept = _stratified(rng, case.y, 25 / positives)
    return Case(case.R[kept], case.y[kept], case.R_test, case.y_test)


def _stratified(rng, y, share):
    kept, _ = train_test_split(
        np.arange(len(y)), train_size=share, stratify=y, random_state=int(rng.integers(2**31))
    )
    return kept


SCENARIOS = {
    "complete": complete,
    "10 % of cells": missing_cells(0.1),
    "30 % of cells": missing_cells(0.3),
    "50 % of cells": missing_cells(0.5),
    "groups": missing_groups,
    "trees 60 %": missing_family,
    "prediction only 75 %": missing_at_prediction(0.75),
    "failed folds": failed_folds,
    "5 % of labels": few_labels(0.05),
    "10 % of labels": few_labels(0.1),
    "30 % of labels": few_labels(0.3),
    "100 models": many_models,
    "25 positives": few_positives,
}
