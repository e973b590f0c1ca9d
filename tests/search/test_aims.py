"""What a search is after: the positive class, thresholds, scores that fit the number of classes."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, fbeta_score, make_scorer
from sklearn.model_selection import StratifiedKFold

from cfens_stack import CFEnsemble, CFEnsembleSearch, recommend
from cfens_stack.datasets import make_predictions
from cfens_stack.search import NegativeCost, RecallAtPrecision
from cfens_stack.search.aims import DECISIONS, Predicted, best_threshold, make_aims

CV = StratifiedKFold(3, shuffle=True, random_state=0)
DATA = make_predictions(n_samples=300, n_models=6, random_state=0)  # about 12 % of class 1
MULTICLASS = make_predictions(n_samples=200, n_models=4, n_classes=3, random_state=0)
NAMES = np.array(["ok", "fraud"])  # the rarer one is the first in order


def search(n_trials=2, **params):
    return CFEnsembleSearch(n_trials, **{"cv": CV, "random_state": 0, **params})


@pytest.mark.parametrize("scoring", ["average_precision", "f1", "neg_log_loss"])
def test_the_positive_class_is_scored_whatever_its_name(scoring):
    """R with the probabilities of "ok", so that only the scoring knows of pos_label."""
    by_number = search(scoring=scoring, refit=False).fit(DATA.R, DATA.y)
    named = search(scoring=scoring, pos_label="fraud", refit=False)
    named.fit(1.0 - DATA.R, NAMES[DATA.y])
    assert named.best_score_ == pytest.approx(by_number.best_score_, rel=1e-6)


def test_an_unnamed_positive_class_that_is_the_common_one_is_warned_of():
    with pytest.warns(UserWarning, match=r"takes 'ok' for the positive.*pos_label='fraud'") as seen:
        search().fit(1.0 - DATA.R, NAMES[DATA.y])
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    ("labels", "settings"),
    [
        (["ok", "fraud"], {"pos_label": "fraud"}),
        (["ok", "fraud"], {"pos_label": "ok"}),
        (["ok", "fraud"], {"scoring": "roc_auc"}),  # is the same for both classes
        (["a", "b"], {}),  # the last is the rarer
        ([1, 0], {}),
        ([True, False], {}),
        ([1, -1], {}),
    ],
)
def test_no_warning_where_the_positive_class_is_clear(labels, settings):
    R = DATA.R if labels == ["a", "b"] else 1.0 - DATA.R
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(1, **settings).fit(R, np.array(labels)[DATA.y])


def test_a_positive_class_that_is_none_is_refused():
    for fit in (search(pos_label="spam").fit, lambda R, y: recommend(R, y, pos_label="spam")):
        with pytest.raises(ValueError, match=r"pos_label='spam' is none of the classes"):
            fit(DATA.R, NAMES[DATA.y])
    with pytest.raises(ValueError, match=r"pos_label=1 is for two classes, but y has 3"):
        search(pos_label=1).fit(MULTICLASS.R, MULTICLASS.y)


@pytest.mark.parametrize(
    ("scoring", "advice"),
    [("f1", "'f1_macro'"), ("roc_auc", "'roc_auc_ovr'"), ("precision", "'precision_macro'")],
)
def test_a_score_for_two_classes_is_refused_before_any_trial(scoring, advice):
    tried = search(scoring=scoring)
    with pytest.raises(ValueError, match=f"cannot score 3 classes.*{advice}"):
        tried.fit(MULTICLASS.R, MULTICLASS.y)
    assert not hasattr(tried, "study_")


@pytest.mark.parametrize("scoring", ["f1_macro", "roc_auc_ovr", "average_precision", "accuracy"])
def test_scores_for_several_classes_are_taken(scoring):
    fitted = search(1, scoring=scoring).fit(MULTICLASS.R, MULTICLASS.y)
    assert np.isfinite(fitted.best_score_)
    assert fitted.best_threshold_ is None


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("name", sorted(DECISIONS))
@pytest.mark.parametrize("weighted", [False, True])
def test_no_threshold_does_better(name, weighted):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 4 // 3
    p = rng.normal(1.5 * y).round(1)  # with ties
    p = 1.0 / (1.0 + np.exp(2.0 - p))
    P, v = np.column_stack([1.0 - p, p]), rng.integers(1, 4, 60) if weighted else None
    (aim,) = make_aims(name)
    every = [aim(Predicted(2, level), P, y, v=v) for level in np.unique(p)]
    found = best_threshold(aim, P, y, v)
    assert aim(Predicted(2, found), P, y, v=v) == pytest.approx(max(every))


@pytest.mark.parametrize("pos_label", ["fraud", "ok"])
def test_the_threshold_belongs_to_the_configuration_and_predict_uses_it(pos_label):
    R, y = 1.0 - DATA.R, NAMES[DATA.y]
    fitted = search(1, scoring="f1", pos_label=pos_label).fit(R, y)
    place = list(fitted.classes_).index(pos_label)
    model = CFEnsemble(**fitted.best_params_)
    pooled, truth = [], []
    for train, test in CV.split(R, y):
        pooled.append(model.fit(R[train], y[train]).predict_proba(R[test])[:, place])
        truth.append(y[test] == pos_label)
    scores = [
        f1_score(np.concatenate(truth), np.concatenate(pooled) >= level)
        for level in np.concatenate(pooled)
    ]
    chosen = f1_score(np.concatenate(truth), np.concatenate(pooled) >= fitted.best_threshold_)
    assert chosen == pytest.approx(max(scores), abs=0.01)  # of many rows some are tried
    by_fold = [f1_score(t, p >= fitted.best_threshold_) for t, p in zip(truth, pooled, strict=True)]
    assert fitted.best_score_ == pytest.approx(np.mean(by_fold))
    is_positive = fitted.predict_proba(R)[:, place] >= fitted.best_threshold_
    np.testing.assert_array_equal(fitted.predict(R) == pos_label, is_positive)


def test_scores_of_probabilities_accuracy_and_functions_leave_the_threshold_alone():
    def of_a_model(estimator, R, y):
        return f1_score(y, estimator.predict(R))

    for scoring in ("average_precision", make_scorer(accuracy_score), of_a_model):
        fitted = search(1, scoring=scoring).fit(DATA.R, DATA.y)
        assert fitted.best_threshold_ is None
        np.testing.assert_array_equal(
            fitted.predict(DATA.R), fitted.best_estimator_.predict(DATA.R)
        )


DEAR_MISSES = NegativeCost([[0, 1], [15, 0.5]])


def cost_at(threshold, p, y):
    hit = p >= threshold
    return np.where(y == 1, np.where(hit, 0.5, 15.0), np.where(hit, 1.0, 0.0)).mean()


def pooled(model, R, y):
    found = np.full(len(y), np.nan)
    for train, test in CV.split(R, y):
        found[test] = model.fit(R[train], y[train]).predict_proba(R[test])[:, 1]
    return found


def test_costs_of_mistakes_have_the_threshold_that_costs_least():
    fitted = search(1, scoring=DEAR_MISSES).fit(DATA.R, DATA.y)
    p = pooled(CFEnsemble(**fitted.best_params_), DATA.R, DATA.y)
    least = min(cost_at(level, p, DATA.y) for level in [*p, 2.0])
    assert cost_at(fitted.best_threshold_, p, DATA.y) == pytest.approx(least, abs=0.02)
    by_fold = [
        -cost_at(fitted.best_threshold_, p[test], DATA.y[test])
        for _, test in CV.split(DATA.R, DATA.y)
    ]
    assert fitted.best_score_ == pytest.approx(np.mean(by_fold))
    assert fitted.best_threshold_ < 0.2  # near 1 / 15.5, of calibrated probabilities


def test_costs_follow_the_positive_class():
    R, y = 1.0 - DATA.R, NAMES[DATA.y]
    by_number = search(1, scoring=DEAR_MISSES).fit(DATA.R, DATA.y)
    named = search(1, scoring=DEAR_MISSES, pos_label="fraud").fit(R, y)
    assert named.best_score_ == pytest.approx(by_number.best_score_, rel=1e-6)
    assert named.best_threshold_ == pytest.approx(by_number.best_threshold_, rel=1e-6)


def test_where_false_alarms_are_too_dear_no_row_is_positive():
    fitted = search(1, scoring=NegativeCost([[0, 1000], [1, 0]])).fit(DATA.R, DATA.y)
    assert fitted.best_score_ >= -DATA.y.mean() - 1e-3
    assert fitted.predict(DATA.R).mean() < DATA.y.mean() / 2


@pytest.mark.parametrize("precision", [0.4, 0.7])
def test_recall_is_the_best_among_thresholds_that_reach_the_precision(precision):
    fitted = search(1, scoring=RecallAtPrecision(precision)).fit(DATA.R, DATA.y)
    p, y = pooled(CFEnsemble(**fitted.best_params_), DATA.R, DATA.y), DATA.y
    hit = p >= fitted.best_threshold_
    assert y[hit].mean() >= precision
    reached = [y[p >= level].sum() for level in p if y[p >= level].mean() >= precision]
    assert y[hit].sum() >= max(reached) - 1  # of many levels some are tried
    recalls = [hit[test][y[test] == 1].mean() for _, test in CV.split(DATA.R, y)]
    assert fitted.best_score_ == pytest.approx(np.mean(recalls))


@pytest.mark.parametrize("pos_label", [0, 1])
def test_a_made_scorer_sees_labels_and_has_a_threshold(pos_label):
    """With and without weights in the metric, which are two ways to the same threshold."""

    def weightless(y_true, y_pred):
        return fbeta_score(y_true, y_pred, beta=2, pos_label=NAMES[pos_label])

    R, y = 1.0 - DATA.R, NAMES[DATA.y]
    fitted = [
        search(1, scoring=scoring, pos_label=NAMES[pos_label]).fit(R, y)
        for scoring in (
            make_scorer(fbeta_score, beta=2, pos_label=NAMES[pos_label]),
            make_scorer(weightless),
        )
    ]
    assert fitted[0].best_threshold_ == fitted[1].best_threshold_ is not None
    assert fitted[0].best_score_ == pytest.approx(fitted[1].best_score_)


def test_a_study_is_not_continued_with_other_costs(tmp_path):
    settings = {"storage": tmp_path / "trials.journal", "study_name": "costs"}
    search(1, scoring=DEAR_MISSES, **settings).fit(DATA.R, DATA.y)
    search(2, scoring=NegativeCost([[0, 1], [15, 0.5]]), **settings).fit(DATA.R, DATA.y)
    with pytest.raises(ValueError, match="other data, folds, scoring"):
        search(2, scoring=NegativeCost([[0, 1], [9, 0]]), **settings).fit(DATA.R, DATA.y)


def test_costs_of_several_classes_are_of_the_most_probable_one():
    costs = np.ones((3, 3)) - np.eye(3)
    fitted = search(1, scoring=NegativeCost(costs.tolist())).fit(MULTICLASS.R, MULTICLASS.y)
    plain = search(1, scoring="accuracy").fit(MULTICLASS.R, MULTICLASS.y)
    assert fitted.best_score_ == pytest.approx(plain.best_score_ - 1.0)
    assert fitted.best_threshold_ is None


@pytest.mark.parametrize(
    ("scoring", "data", "message"),
    [
        (NegativeCost([[0, 1]]), DATA, "must be 2 x 2 finite numbers"),
        (NegativeCost([[0, 1], [1, 0]]), MULTICLASS, "must be 3 x 3 finite numbers"),
        (NegativeCost([[0, 1], [1, 2]]), DATA, "pays for mistakes"),
        (RecallAtPrecision(0.9), MULTICLASS, "is for two classes"),
        (RecallAtPrecision(1.5), DATA, "above 0 and at most 1"),
    ],
)
def test_bad_costs_and_precisions_are_refused_before_any_trial(scoring, data, message):
    tried = search(scoring=scoring)
    with pytest.raises(ValueError, match=message):
        tried.fit(data.R, data.y)
    assert not hasattr(tried, "study_")
