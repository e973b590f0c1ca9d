"""Names of models and classes travel: frames, feature names, contributions, scorers, errors."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, CFEnsembleSearch, StackingPipeline

pandas = pytest.importorskip("pandas")
NAMES = np.array(["ant", "bee", "cat"])


def table(n_classes):
    X, y = make_classification(
        300, 5, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=0
    )
    index = [f"row{i}" for i in range(300)]
    return pandas.DataFrame(X, columns=list("vwxyz"), index=index), NAMES[y]


def stack(**settings):
    models = {"bayes": GaussianNB(), "tree": DecisionTreeClassifier(max_depth=3)}
    return StackingPipeline(models, **({"cv": 3, "random_state": 0} | settings))


@pytest.fixture(scope="module", params=[2, 3])
def fitted(request):
    X, y = table(request.param)
    return X, y, stack().fit(X, y)


def columns(n_classes):
    models = ["bayes", "tree"]
    return models if n_classes == 2 else [f"{m}_{label}" for m in models for label in NAMES]


def test_frames_have_the_names_of_models_and_rows(fitted):
    X, _, model = fitted
    frame = model.oof_frame()
    np.testing.assert_array_equal(frame.to_numpy(), model.oof_)
    assert frame.columns.tolist() == columns(len(model.classes_))
    assert frame.index.equals(X.index)
    assert model.meta_.feature_names_in_.tolist() == frame.columns.tolist()
    array = model.transform(X)
    np.testing.assert_array_equal(array, model.base_predictions(X))
    named = model.set_output(transform="pandas").transform(X)
    model.set_output(transform="default")
    assert named.columns.tolist() == frame.columns.tolist()
    assert named.index.equals(X.index)
    np.testing.assert_array_equal(model.meta_.predict_proba(named), model.predict_proba(X))
    np.testing.assert_array_equal(model.predict_log_proba(X), np.log(model.predict_proba(X)))


def test_fit_transform_gives_predictions_that_saw_no_label(fitted):
    X, y, model = fitted
    frame = stack().set_output(transform="pandas").fit_transform(X, y)
    pandas.testing.assert_frame_equal(frame, model.oof_frame())
    assert not np.allclose(frame, model.transform(X))


def test_contributions_by_model(fitted):
    X, _, model = fitted
    parts, intercept = model.contributions(X, return_intercept=True)
    P = model.predict_log_proba(X)
    frame = model.contributions(X, as_frame=True)
    assert frame.index.equals(X.index)
    if len(model.classes_) == 2:
        assert frame.columns.tolist() == ["bayes", "tree", "intercept"]
        np.testing.assert_allclose(frame.sum(axis=1), P[:, 1] - P[:, 0], atol=1e-9)
        np.testing.assert_array_equal(frame["tree"], parts[:, 1])
    else:
        for k, label in enumerate(NAMES):
            np.testing.assert_allclose(
                frame[label].sum(axis=1), P[:, k] - P.mean(axis=1), atol=1e-9
            )
            np.testing.assert_array_equal(frame[label]["bayes"], parts[:, 0, k])
            np.testing.assert_array_equal(frame[label]["intercept"], intercept[:, k])


def test_other_meta_learners_do_not_explain_and_get_arrays():
    X, y = table(2)
    model = stack(meta=LogisticRegression()).fit(X, y)
    assert not hasattr(model, "contributions")
    assert not hasattr(model.meta_, "feature_names_in_")
    assert model.oof_frame().columns.tolist() == ["bayes", "tree"]


def test_scorers_by_name_take_the_second_label_for_positive_and_callables_see_labels(fitted):
    _, y, model = fitted
    best = model.classes_[
        np.stack([1 - model.oof_[:, 0], model.oof_[:, 0]], axis=1).argmax(axis=1)
        if len(model.classes_) == 2
        else model.oof_[:, :3].argmax(axis=1)
    ]
    seen = []

    def scorer(estimator, X, y):
        seen.append(set(y) | set(estimator.predict(X)))
        return f1_score(y, estimator.predict(X), average="macro")

    table = model.leaderboard(scoring=scorer)
    assert table.loc["bayes", "score"] == pytest.approx(f1_score(y, best, average="macro"))
    assert set.union(*seen) == set(model.classes_)
    if len(model.classes_) == 2:
        expected = f1_score(y, best, pos_label="bee")
        assert model.leaderboard(scoring="f1").loc["bayes", "score"] == pytest.approx(expected)


def test_the_positive_class_of_a_search_is_named_by_its_label():
    X, y = table(2)
    meta = CFEnsembleSearch(2, cv=2, scoring="f1", pos_label="ant", random_state=0)
    model = stack(meta=meta).fit(X, y)
    R, codes = model.oof_frame(), (y == "bee").astype(int)
    expected = CFEnsembleSearch(
        2, cv=2, scoring="f1", pos_label=0, random_state=model.meta_.random_state
    )
    expected.estimator = CFEnsemble()
    assert model.meta_.pos_label == 0
    assert model.meta_.best_score_ == pytest.approx(expected.fit(R, codes).best_score_)
    ensemble = stack(meta=CFEnsemble(pos_label="ant")).fit(X, y)
    np.testing.assert_array_equal(ensemble.predict_proba(X), stack().fit(X, y).predict_proba(X))
    with pytest.raises(ValueError, match="pos_label='dog'"):
        stack(meta=CFEnsemble(pos_label="dog")).fit(X, y)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("final_estimator", "pass it as meta"),
        ("passthrough", "sees predictions alone"),
        ("stack_method", "the best that it has of predict_proba"),
        ("verbose", "pass progress=True"),
    ],
)
def test_parameters_of_scikit_learns_stack_are_named_in_the_error(name, remedy):
    with pytest.raises(TypeError, match=f"has no {name}, .*{remedy}"):
        StackingPipeline(**{name: None})
    with pytest.raises(ValueError, match=f"has no {name}: .*{remedy}"):
        StackingPipeline().set_params(**{name: None})


def test_the_default_meta_learner_can_be_searched_over():
    X, y = table(2)
    models = {"bayes": GaussianNB(), "tree": DecisionTreeClassifier(max_depth=3)}
    whole = StackingPipeline(models, cv=2, random_state=0)
    grid = GridSearchCV(whole, {"meta__rho": [0.2, 0.8], "tree": ["drop", models["tree"]]}, cv=2)
    grid.fit(X, y)
    assert grid.best_params_["meta__rho"] in (0.2, 0.8)
    assert grid.best_estimator_.meta.rho == grid.best_params_["meta__rho"]
