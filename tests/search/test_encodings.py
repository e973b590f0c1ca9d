"""What trials share is made once, stays within its bounds and changes no score."""

import pickle

import numpy as np
import pytest

from cfens_stack import CFEnsemble, CFEnsembleSearch
from cfens_stack.datasets import make_predictions
from cfens_stack.search.encodings import Encodings

DATA = make_predictions(n_samples=300, n_models=6, missing=0.1, random_state=0)


class Counting(CFEnsemble):
    """Counts what is encoded."""

    encoded: list = []

    def encode(self, R, y, sample_weight=None):
        self.encoded.append((self.link, self.smoothing, len(R)))
        return super().encode(R, y, sample_weight)


class Refitting(CFEnsemble):
    """A subclass with a fit of its own, which trials have to call."""

    def fit(self, R, y, sample_weight=None):
        return super().fit(R, y, sample_weight)


def scores(search):
    return [trial.intermediate_values for trial in search.study_.trials]


@pytest.mark.parametrize("weights", [None, np.random.default_rng(1).uniform(0.5, 2.0, 300)])
def test_parts_are_encoded_once_for_each_link_and_smoothing_and_scores_do_not_change(weights):
    Counting.encoded.clear()
    fits = [
        CFEnsembleSearch(12, cv=3, estimator=estimator, random_state=0).fit(
            DATA.R, DATA.y, sample_weight=weights
        )
        for estimator in (Counting(), Refitting())
    ]
    shared, own = map(scores, fits)
    assert shared == own
    found = [fits[0].space_.decode(trial.params) for trial in fits[0].study_.trials]
    kinds = {(one["link"], one.get("smoothing", CFEnsemble().smoothing)) for one in found}
    n_folds = max(map(len, shared))
    # the fit of the winner on all rows takes its own way
    assert len(Counting.encoded) <= len(kinds) * n_folds < sum(map(len, shared))


def test_what_was_used_last_is_kept_within_the_bound_and_other_processes_start_empty():
    made = []

    def get(cache, key):
        return cache.get(key, lambda: made.append(key) or np.zeros(100))

    cache = Encodings(most_bytes=1600)  # two arrays
    for key in ("a", "b", "a", "c", "a", "b"):
        get(cache, key)
    assert made == ["a", "b", "c", "b"]
    copy = pickle.loads(pickle.dumps(cache))
    get(copy, "a")
    assert made[-1] == "a"
    assert copy.most_bytes == 1600
