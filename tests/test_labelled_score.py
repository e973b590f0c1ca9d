"""`score` takes labels as `fit` does."""

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import GaussianNB

from cfens_stack import CFEnsemble, CFEnsembleSearch, StackingPipeline
from cfens_stack.datasets import make_predictions

DATA = make_predictions(120, 4, weights=[0.6, 0.4], random_state=0)
R, Y = DATA.R, DATA.y
HIDDEN = np.arange(120) % 3 == 0
WEIGHTS = np.linspace(0.5, 2.0, 120)
MODELS = {
    "ensemble": CFEnsemble(),
    "pipeline": StackingPipeline([GaussianNB()], cv=3, random_state=0),
    "search": CFEnsembleSearch(1, cv=3, random_state=0),
}
LABELS = {
    "objects": Y.astype(object),
    "with None": np.where(HIDDEN, None, Y.astype(object)),
    "with NaN": np.where(HIDDEN, np.nan, Y),
    "with pandas.NA": pd.Series(Y, dtype="Int64").mask(HIDDEN),
    "masked": np.ma.masked_array(Y, mask=HIDDEN),
}


@pytest.mark.parametrize("model", MODELS)
def test_accuracy_is_over_the_labelled_rows(model):
    fitted = MODELS[model].fit(R, Y)
    right = fitted.predict(R) == Y
    assert right.mean() == fitted.score(R, Y)
    for name, labels in LABELS.items():
        known = np.ones(120, dtype=bool) if name == "objects" else ~HIDDEN
        assert fitted.score(R, labels) == pytest.approx(right[known].mean()), name
        weighted = np.average(right[known], weights=WEIGHTS[known])
        assert fitted.score(R, labels, sample_weight=WEIGHTS) == pytest.approx(weighted), name
