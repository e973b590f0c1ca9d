"""Pandas objects whose row names say another order than their positions."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import GaussianNB

from cfens_stack import CFEnsemble, CFEnsembleSearch, StackingPipeline
from cfens_stack.datasets import make_predictions

DATA = make_predictions(120, 4, weights=[0.6, 0.4], random_state=0)
NAMES = [f"row {i}" for i in range(120)]
FRAME = pd.DataFrame(DATA.R, index=NAMES, columns=list("abcd"))
LABELS = pd.Series(DATA.y, index=NAMES)
FITS = {
    "R": [CFEnsemble(), CFEnsembleSearch(1, cv=3, random_state=0)],
    "X": [StackingPipeline([GaussianNB()], cv=3, random_state=0)],
}


@pytest.mark.parametrize("what", FITS)
def test_names_in_another_order_are_told(what):
    for estimator in FITS[what]:
        message = f"{what} and y have the same row names in another order.*y.loc"
        with pytest.warns(UserWarning, match=message) as caught:
            estimator.fit(FRAME, LABELS.iloc[::-1].map(lambda label: 1 - label))
        assert [w.filename for w in caught if "row names" in str(w.message)] == [__file__]


def test_weights_count_too():
    weights = pd.Series(np.ones(120), index=NAMES).iloc[::-1]
    with pytest.warns(UserWarning, match="R and sample_weight have the same row names"):
        CFEnsemble().fit(FRAME, LABELS, sample_weight=weights)


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS.reset_index(drop=True),  # other names: nothing says which rows belong together
        LABELS.set_axis(["twice"] * 120),
        LABELS.tolist(),
    ],
)
def test_nothing_is_said_where_names_say_nothing_else(labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CFEnsemble().fit(FRAME, labels)
