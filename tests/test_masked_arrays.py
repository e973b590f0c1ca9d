"""A masked cell is a missing cell, wherever a masked array may be passed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.ensemble import HistGradientBoostingClassifier

from cfens_stack import CFEnsemble, CFEnsembleSearch, StackingPipeline, recommend
from cfens_stack.datasets import make_predictions
from cfens_stack.display import ReliabilityDisplay
from cfens_stack.ensemble.partitions import fit_partitions
from cfens_stack.stacking import select_models

DATA = make_predictions(150, 4, weights=[0.6, 0.4], random_state=0)
HIDDEN = np.random.default_rng(0).random(DATA.R.shape) < 0.3
MASKED = np.ma.masked_array(DATA.R, mask=HIDDEN)
MISSING = np.where(HIDDEN, np.nan, DATA.R)
Y = DATA.y


def search(R):
    return CFEnsembleSearch(1, cv=3, random_state=0).fit(R, Y).predict_proba(R)


def stack(X):
    model = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5)
    fitted = StackingPipeline([model], cv=3, random_state=0).fit(X, Y)
    return fitted.predict_proba(X)


USES = {
    "fit and prediction": lambda R: CFEnsemble().fit(R, Y).predict_proba(R),
    "a search, and its prediction": search,
    "a pipeline, and its prediction": stack,
    "partitions": lambda R: fit_partitions(CFEnsemble(), [R[:70], R[70:]], Y).coef_,
    "the guide": lambda R: recommend(R, Y).missing_share,
    "the choice of models": lambda R: [subset.loss for subset in select_models(R, Y)],
}


@pytest.mark.parametrize("use", USES)
def test_what_is_masked_is_missing(use):
    assert_allclose(USES[use](MASKED), USES[use](MISSING))
    assert not np.allclose(USES[use](MASKED), USES[use](DATA.R))


def test_text_that_is_masked_is_none():
    from cfens_stack.validation import filled

    text = np.ma.masked_array([["a", "b"], ["c", "d"]], mask=[[False, True], [False, False]])
    assert filled(text).tolist() == [["a", None], ["c", "d"]]


def test_a_reliability_diagram_refuses_masked_labels():
    with pytest.raises(ValueError, match="y holds values other than"):
        ReliabilityDisplay.from_predictions(
            np.ma.masked_array(Y, mask=HIDDEN[:, 0]), {"p": DATA.R[:, 0]}
        )
