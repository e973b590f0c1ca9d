"""Predictions that are not what they are taken for: told, not passed over."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions


@pytest.fixture(scope="module")
def data():
    return make_predictions(600, 6, weights=[0.8, 0.2], random_state=0)


def names_of(y):
    return np.where(y == 1, "fraud", "ok")


def test_columns_of_the_other_class_are_told_and_pos_label_mends_it(data):
    """Of the two "ok" is the last in order, so P(fraud) is taken for P(ok)."""
    labels = names_of(data.y)
    with pytest.warns(UserWarning, match=r"6 of 6 columns .* pass pos_label='fraud'") as record:
        CFEnsemble().fit(data.R, labels)
    assert [w.filename for w in record] == [__file__]
    meta = CFEnsemble(pos_label="fraud").fit(data.R, labels)
    plain = CFEnsemble().fit(data.R, data.y)
    assert_array_equal(meta.classes_, ["fraud", "ok"])
    assert_allclose(meta.predict_proba(data.R), plain.predict_proba(data.R)[:, ::-1], atol=1e-12)
    assert_array_equal(meta.predict(data.R), names_of(plain.predict(data.R)))
    assert_allclose(meta.coef_, plain.coef_)


@pytest.mark.parametrize("settings", [{"use_class_weights": True, "focal_gamma": 1.0}, {}])
def test_pos_label_with_the_posterior_and_missing_cells(data, settings):
    R = np.where(np.random.default_rng(0).random(data.R.shape) < 0.2, np.nan, data.R)
    meta = CFEnsemble(pos_label="fraud", **settings).fit(R, names_of(data.y))
    plain = CFEnsemble(**settings).fit(R, data.y)
    assert_allclose(meta.predict_proba(R), plain.predict_proba(R)[:, ::-1], atol=1e-12)


def test_pos_label_needs_one_column_per_model(data):
    both = np.stack([1 - data.R, data.R], axis=2).reshape(len(data.y), -1)
    with pytest.raises(ValueError, match="a column for each class: leave pos_label=None"):
        CFEnsemble(pos_label="fraud").fit(both, names_of(data.y))
    with pytest.raises(ValueError, match="pos_label='theft' is none of the classes"):
        CFEnsemble(pos_label="theft").fit(data.R, names_of(data.y))


def test_probabilities_in_per_cent_at_prediction_are_told_or_refused(data):
    meta = CFEnsemble().fit(data.R, data.y)
    with pytest.warns(UserWarning, match=r"outside \[0, 1\].*pass probabilities") as record:
        meta.predict_proba(100 * data.R)
    assert [w.filename for w in record] == [__file__]
    strict = CFEnsemble(strict=True).fit(data.R, data.y)
    with pytest.raises(ValueError, match=r"strict=True: .* outside"):
        strict.predict_proba(100 * data.R)
    scores = CFEnsemble(layout="scores").fit(3 * data.R, data.y)
    scores.predict_proba(5 * data.R)  # scores have no range


def test_a_stated_layout_of_probabilities_tells_of_other_values(data):
    R = data.R.copy()
    R[5, 2] = 7.5
    with pytest.warns(UserWarning, match=r"1 cells of R are outside \[0, 1\], the first 7.5"):
        CFEnsemble(layout="positive").fit(R, data.y)


def test_a_model_that_is_stuck_at_prediction_is_reported(data):
    meta = CFEnsemble().fit(data.R, data.y)
    stuck = data.R.copy()
    stuck[:, 3] = 0.04
    with pytest.warns(UserWarning, match=r"Columns \[3\] of R have one value .* 0.04 in 600"):
        meta.predict_proba(stuck)
    stuck[:, 3] = 0.0  # a rare class may be absent from a batch
    meta.predict_proba(stuck)
    meta.predict_proba(data.R[:1])


@pytest.mark.parametrize("lambda_reg", [1e-200, 1e-16])
def test_a_vanishing_lambda_is_refused_in_words(data, lambda_reg):
    with pytest.raises(ValueError, match=r"'lambda_reg' .* range \[1e-12, inf\)"):
        CFEnsemble(lambda_reg=lambda_reg).fit(data.R, data.y)
