"""As few models as the answer needs: paths of subsets, and what the pipeline keeps."""

import time
from itertools import pairwise

import numpy as np
import pytest
from failing_models import Counting, n_fits
from scipy.special import expit, softmax
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import BaseModelWarning, CFEnsemble, StackingPipeline
from cfens_stack.datasets import make_predictions
from cfens_stack.stacking import select_models
from cfens_stack.stacking.leaderboard import out_of_fold_ensemble
from cfens_stack.stacking.selection import Subset, _hessian, choose


def predictions(n=600, seed=0):
    """Two informative models, three of noise, and a copy of the first."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    logits = 1.5 * (2 * y[:, None] - 1) + 1.5 * rng.normal(size=(n, 2))
    R = np.column_stack([logits, 0.3 * rng.normal(size=(n, 3)), logits[:, 0]])
    return 1 / (1 + np.exp(-R)), y


def test_noise_leaves_first_and_copies_before_what_is_needed():
    path = select_models(*predictions())
    assert [len(subset.models) for subset in path] == [6, 5, 4, 3, 2, 1]
    assert all(set(b.models) < set(a.models) for a, b in pairwise(path))
    assert set(path[3].models) == {0, 1, 5}
    assert 1 in path[4].models
    assert len(path[4].models) == 2
    # What is chosen is not worse than the two that tell something by more than .0005, and has at
    # most one of the three models of noise: paired errors of near-equal subsets are tiny.
    chosen = choose(path)
    assert {1} < set(chosen.models)
    assert len({2, 3, 4} & set(chosen.models)) <= 1
    assert path[4].loss - chosen.loss < 0.0005


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_the_hessian_is_that_of_the_loss(n_outputs):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(30, 4 * n_outputs))
    y = rng.integers(0, max(2, n_outputs), 30)

    def probabilities(theta):
        votes = (Z * theta[: Z.shape[1]]).reshape(30, 4, n_outputs).sum(axis=1)
        scores = votes + theta[Z.shape[1] :]
        return expit(scores) if n_outputs == 1 else softmax(scores, axis=1)

    def loss(theta):
        P = probabilities(theta)
        p = np.where(y == 1, P[:, 0], 1 - P[:, 0]) if n_outputs == 1 else P[np.arange(30), y]
        return -np.log(p).sum() + 0.7 / 2 * (theta[: Z.shape[1]] ** 2).sum()

    theta = 0.3 * rng.normal(size=Z.shape[1] + n_outputs)
    step = 1e-4 * np.eye(len(theta))
    numeric = [
        [
            (loss(theta + a + b) - loss(theta + a - b) - loss(theta - a + b) + loss(theta - a - b))
            / 4e-8
            for a in step
        ]
        for b in step
    ]
    np.testing.assert_allclose(_hessian(Z, probabilities(theta), 0.7), numeric, atol=1e-5)


def test_losses_are_those_of_the_meta_learner_out_of_fold():
    R, y = predictions()
    for subset in select_models(R, y)[::3]:
        columns = R[:, list(subset.models)]
        P = out_of_fold_ensemble(CFEnsemble(layout="positive"), columns, y, np.arange(2), {}, None)
        assert subset.loss == pytest.approx(log_loss(y, P))
        assert subset.cost == len(subset.models)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("meta", [None, LogisticRegression(), GaussianNB()], ids=repr)
def test_any_meta_learner_and_several_classes(n_classes, meta):
    rng = np.random.default_rng(0)
    y = np.arange(300) % n_classes
    blocks = []
    for sharp in (2.0, 0.0, 1.0):
        logits = sharp * (y[:, None] == np.arange(n_classes)) + rng.normal(size=(300, n_classes))
        P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        blocks.append(P[:, 1:] if n_classes == 2 else P)
    path = select_models(np.hstack(blocks), np.array(["a", "b", "c"])[y], meta=meta)
    assert [subset.models for subset in path[:2]] == [(0, 1, 2), (0, 2)]


def test_missing_cells_and_labels():
    data = make_predictions(300, 5, missing=0.4, random_state=0)
    y = data.y.astype(float)
    y[::5] = np.nan
    path = select_models(data.R, y)
    assert np.isfinite([subset.loss for subset in path]).all()
    assert path[-1].loss > path[0].loss  # one model says nothing of 40 % of the rows


def test_a_limit_leaves_the_larger_subsets_unjudged():
    R, y = predictions()
    whole, limited = select_models(R, y), select_models(R, y, max_models=3)
    assert [subset.models for subset in limited] == [subset.models for subset in whole[3:]]
    assert [subset.loss for subset in limited] == [subset.loss for subset in whole[3:]]
    assert min(subset.excess for subset in limited) == 0
    many = make_predictions(120, 24, random_state=0)
    assert len(select_models(many.R, many.y, max_models=21)[0].models) == 21
    with pytest.raises(ValueError, match="max_models=0"):
        select_models(R, y, max_models=0)


def test_costs_decide_between_copies():
    R, y = predictions()
    costs = np.ones(6)
    costs[0] = 100.0
    path = select_models(R, y, costs=costs)
    last = path[-1].models
    assert 0 not in last
    assert path[0].cost == 105.0


def test_more_than_twenty_models_leave_several_at_a_time():
    data = make_predictions(120, 30, random_state=0)
    sizes = [len(subset.models) for subset in select_models(data.R, data.y)]
    assert sizes == [30, 27, 25, 23, 21, 19, *range(18, 0, -1)]


def test_the_choice():
    path = [
        Subset((0, 1, 2), 0.30, 0.0, 0.0, 3.0),
        Subset((0, 1), 0.31, 0.01, 0.02, 2.0),
        Subset((0,), 0.40, 0.10, 0.03, 1.0),
    ]
    assert choose(path) is path[1]
    assert choose(path, tolerance=0) is path[0]
    assert choose(path, tolerance=0.2) is path[2]
    assert choose(path, max_models=1) is path[2]
    assert choose(path, max_models=2) is path[1]
    assert choose(path, max_cost=1.5) is path[2]
    with pytest.raises(ValueError, match=r"No subset keeps to max_models=None and a cost of 0.5"):
        choose(path, max_cost=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"costs": [1, 2]}, "costs=.*pass one positive number for each of the 6 models"),
        ({"costs": [0, 1, 1, 1, 1, 1]}, "pass one positive number"),
        ({"groups": [1, 2]}, "groups has shape"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        select_models(*predictions(), **change)
    R, _ = predictions()
    with pytest.raises(ValueError, match="6 columns, which is no multiple of the 4 classes"):
        select_models(R, np.arange(len(R)) % 4)


# In the pipeline


def pipeline(**settings):
    models = {
        "bayes": GaussianNB(),
        "again": GaussianNB(),
        "svm": LinearSVC(),
        "tree": DecisionTreeClassifier(max_depth=3),
    }
    return StackingPipeline(models, **({"cv": 3, "random_state": 0} | settings))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_what_is_kept_is_as_if_it_had_been_fitted_alone(n_classes):
    X, y = make_classification(
        300, 6, n_informative=4, n_classes=n_classes, class_sep=0.8, random_state=0
    )
    weights = np.linspace(0.5, 2, len(y))
    stack = pipeline().fit(X, y, sample_weight=weights)
    assert stack.select(max_models=2, tolerance=0) is stack
    assert len(stack.model_names_) == len(stack.estimators_) == 2
    assert list(stack.estimators) == stack.model_names_
    alone = pipeline().set_params(estimators=stack.estimators).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(stack.oof_, alone.oof_)
    np.testing.assert_array_equal(stack.predict_proba(X), alone.predict_proba(X))
    assert [len(subset.models) for subset in stack.selection_path_] == [4, 3, 2, 1]
    assert set(stack.selection_path_[0].models) == {"bayes", "again", "svm", "tree"}


def test_lost_models_are_not_kept_and_limits_that_nothing_keeps_change_nothing():
    X, y = make_classification(200, random_state=0)
    models = [("bad", LogisticRegression(C=-1)), ("bayes", GaussianNB()), ("svm", LinearSVC())]
    with pytest.warns(BaseModelWarning):
        stack = StackingPipeline(models, cv=3, random_state=0).fit(X, y)
    first = stack.predict_proba(X)
    with pytest.raises(ValueError, match="No subset keeps to"):
        stack.select(max_predict_time=1e-12)
    assert stack.model_names_ == ["bad", "bayes", "svm"]
    np.testing.assert_array_equal(stack.predict_proba(X), first)
    assert "bad" not in stack.select(tolerance=0).model_names_


class SlowToPredict(GaussianNB):
    """The best model, but slow."""

    def predict_proba(self, X):
        time.sleep(0.3)
        return super().predict_proba(X)


def test_a_limit_on_the_time_of_prediction():
    X, y = make_classification(200, random_state=0)
    models = {"slow": SlowToPredict(), "bayes": GaussianNB(var_smoothing=0.1), "svm": LinearSVC()}
    stack = StackingPipeline(models, cv=3, random_state=0).fit(X, y)
    stack.select(max_predict_time=0.8, tolerance=0)
    assert "slow" not in stack.model_names_


def test_a_limit_known_in_advance_saves_the_fits_on_all_rows(tmp_path):
    X, y = make_classification(300, 6, n_informative=4, class_sep=0.8, random_state=0)
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    models = {"a": Counting(str(folders[0])), "b": Counting(str(folders[1])), "svm": LinearSVC()}
    settings = {"cv": 3, "random_state": 0}
    stack = StackingPipeline(models, max_models=1, **settings).fit(X, y)
    (kept,) = stack.model_names_
    assert [n_fits(folder) for folder in folders] == [3 + (kept == "a"), 3 + (kept == "b")]
    assert list(stack.get_params()["estimators"]) == ["a", "b", "svm"]  # a parameter stays
    assert [len(subset.models) for subset in stack.selection_path_] == [3, 2, 1]
    alone = StackingPipeline({kept: models[kept]}, **settings).fit(X, y)
    np.testing.assert_array_equal(stack.oof_, alone.oof_)
    np.testing.assert_array_equal(stack.predict_proba(X), alone.predict_proba(X))
    assert stack.refit_meta(LogisticRegression()).model_names_ == [kept]
    assert stack.add("bayes", GaussianNB(), X).model_names_ == [kept, "bayes"]
    after = StackingPipeline(models, **settings).fit(X, y).select(max_models=1)
    assert after.model_names_ == [kept]


@pytest.mark.parametrize("cv", [3, "prefit"])
def test_limits_with_labels_missing_a_time_limit_and_fitted_models(cv):
    X, y = make_classification(300, 6, n_informative=4, class_sep=0.8, random_state=0)
    labels = y.astype(float)
    labels[::3] = np.nan
    models = {
        "bayes": GaussianNB(),
        "svm": LinearSVC(),
        "tree": DecisionTreeClassifier(max_depth=2),
    }
    if cv == "prefit":
        models = {name: model.fit(X[:100], y[:100].astype(float)) for name, model in models.items()}
    stack = StackingPipeline(models, cv=cv, max_models=2, time_limit=600.0, random_state=0)
    stack.fit(X[100:], labels[100:])
    assert len(stack.model_names_) <= 2
    assert np.isfinite(stack.oof_).all()
    assert stack.failures_ == []
    assert stack.predict(X).shape == (300,)


def test_a_fit_without_limits_forgets_the_path():
    X, y = make_classification(200, random_state=0)
    stack = pipeline(max_models=2).fit(X, y)
    assert stack.selection_path_
    stack.set_params(max_models=None).fit(X, y)
    assert not hasattr(stack, "selection_path_")
    assert len(stack.model_names_) == 4
