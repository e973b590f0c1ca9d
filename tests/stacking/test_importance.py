"""What the ensemble loses without a model: against fits without it, and against missing cells."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.stacking.leaderboard import out_of_fold_ensemble, out_of_fold_fits

pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def stack():
    X, y = make_classification(300, 6, n_informative=4, class_sep=0.7, flip_y=0.1, random_state=0)
    models = {
        "bayes": GaussianNB(),
        "tree": DecisionTreeClassifier(max_depth=5),
        "stump": DecisionTreeClassifier(max_depth=1),
    }
    return y, StackingPipeline(models, cv=3, random_state=0).fit(X, y)


def test_without_a_model_and_refitted(stack):
    y, model = stack
    table = model.importance()
    meta = CFEnsemble(layout="positive", random_state=model.meta_.random_state)

    def loss(R):
        return log_loss(y, out_of_fold_ensemble(meta, R, y, np.arange(2), {}, None))

    for u, name in enumerate(model.model_names_):
        expected = loss(np.delete(model.oof_, u, axis=1)) - loss(model.oof_)
        assert table.loc[name, "loss"] == pytest.approx(expected)
        assert table.loc[name, "weight"] == model.meta_.coef_[u]
    assert (table["low"] < table["loss"]).all()
    assert (table["loss"] < table["high"]).all()
    assert table["loss"].is_monotonic_decreasing


def test_missing_at_prediction(stack):
    y, model = stack
    table = model.importance(refit=False)
    meta = CFEnsemble(layout="positive", random_state=model.meta_.random_state)
    rest = (model.oof_, y, np.arange(2), {}, None)
    P = np.empty((len(y), 2))
    for fitted, test in out_of_fold_fits(meta, *rest):
        R = model.oof_[test].copy()
        R[:, 1] = np.nan
        P[test] = fitted.predict_proba(R)
    expected = log_loss(y, P) - log_loss(y, out_of_fold_ensemble(meta, *rest))
    assert table.loc["tree", "loss"] == pytest.approx(expected)
    one = StackingPipeline({"bayes": GaussianNB()}, cv=3, random_state=0)
    X, y = make_classification(200, 4, n_informative=3, n_redundant=0, random_state=0)
    lost = one.fit(X, y).importance(refit=False)
    # Nothing is left: the ensemble tells the prevalence.
    meta = CFEnsemble(layout="positive")
    P = out_of_fold_ensemble(meta, one.oof_, y, np.arange(2), {}, None)
    assert lost.loc["bayes", "loss"] == pytest.approx(np.log(2) - log_loss(y, P), abs=0.01)


def test_any_scorer_and_meta_learner(stack):
    _, model = stack
    other = model.refit_meta(LogisticRegression())
    table = other.importance("roc_auc")
    assert table["loss"].abs().max() < 0.5
    assert table.loc["stump", "loss"] < table["loss"].max()
