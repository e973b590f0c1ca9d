"""The table of models: scores against scikit-learn's, intervals, seconds, rows for comparison."""

import time

import numpy as np
import pytest
from failing_models import Classifier, Misbehaving
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import BaseModelWarning, StackingPipeline
from cfens_stack.datasets import make_predictions
from cfens_stack.stacking import score_models
from cfens_stack.stacking.leaderboard import out_of_fold_ensemble, plain_average
from cfens_stack.stacking.scoring import RowScorer

pytest.importorskip("pandas")

NAMES = np.array(["ant", "bee", "cat"])


def data(n_classes=2, n=400):
    return make_classification(
        n, 6, n_informative=4, n_classes=n_classes, class_sep=0.8, flip_y=0.1, random_state=0
    )


def stack(**settings):
    models = {
        "bayes": GaussianNB(),
        "tree": DecisionTreeClassifier(max_depth=3),
        "svm": LinearSVC(),
    }
    return StackingPipeline(models, **({"cv": 3, "random_state": 0} | settings))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_are_those_of_scikit_learn(n_classes):
    X, y = data(n_classes)
    labels = NAMES[y]
    fitted = stack().fit(X[:300], labels[:300])
    table = fitted.leaderboard(X[300:], labels[300:])
    new = fitted.base_predictions(X[300:])
    for u, name in enumerate(fitted.model_names_):
        for R, rows, column in ((fitted.oof_, y[:300], "score"), (new, y[300:], "new_score")):
            P = R[:, u] if n_classes == 2 else R[:, 3 * u : 3 * u + 3]
            assert table.loc[name, column] == pytest.approx(-log_loss(rows, P), rel=1e-9)
    assert table.loc["ensemble", "new_score"] == pytest.approx(
        -log_loss(y[300:], fitted.predict_proba(X[300:]))
    )
    assert table.loc["average", "score"] == pytest.approx(
        -log_loss(y[:300], plain_average(fitted.oof_, n_classes))
    )
    assert (table["low"] < table["score"]).all()
    assert (table["score"] < table["high"]).all()
    assert table["score"].is_monotonic_decreasing
    best = table[table["kind"] == "base model"].index[0]
    assert table.loc[f"best single ({best})", "score"] == table.loc[best, "score"]


def test_any_scorer_and_the_weights_of_the_fit():
    X, y = data()
    weights = np.linspace(0.1, 2, len(y))
    fitted = stack().fit(X, y, sample_weight=weights)
    for scoring, metric in (
        ("average_precision", average_precision_score),
        ("roc_auc", roc_auc_score),
    ):
        table = fitted.leaderboard(scoring=scoring)
        expected = metric(y, fitted.oof_[:, 0], sample_weight=weights)
        assert table.loc["bayes", "score"] == pytest.approx(expected)
    table = fitted.leaderboard(scoring=lambda model, X, y: float(np.mean(model.predict(X) == y)))
    assert table.loc["bayes", "score"] == np.mean((fitted.oof_[:, 0] > 0.5) == y)


def test_the_score_of_the_ensemble_is_out_of_fold():
    """On labels that are noise a meta-learner that memorises does not look good."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 4)), rng.integers(0, 2, 300)
    fitted = stack(meta=DecisionTreeClassifier(random_state=0)).fit(X, y)
    assert roc_auc_score(y, fitted.meta_.predict_proba(fitted.oof_)[:, 1]) > 0.95
    assert fitted.leaderboard(scoring="roc_auc").loc["ensemble", "score"] < 0.6


def test_rows_of_the_ensemble_do_not_see_their_labels():
    rng = np.random.default_rng(0)
    R, y = rng.random((60, 3)), np.arange(60) % 2
    P = out_of_fold_ensemble(LogisticRegression(), R, y, np.arange(2), {}, None)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(R, y):
        expected = LogisticRegression().fit(R[train], y[train]).predict_proba(R[test])
        np.testing.assert_allclose(P[test], expected)


def test_the_interval_is_as_wide_as_a_mean_is_uncertain():
    """For log loss, a mean over rows, the jackknife has to agree with the standard error."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000)
    p = np.clip(0.5 + 0.3 * (y - 0.5) + rng.normal(scale=0.1, size=4000), 0.01, 0.99)
    blocks = [np.arange(k, 4000, 20) for k in range(20)]
    losses = -np.log(np.where(y == 1, p, 1 - p))
    score, low, high = RowScorer(None, y, np.arange(2), None, blocks).interval(
        np.column_stack([1 - p, p])
    )
    assert score == pytest.approx(-losses.mean())
    half_width = 2.09 * losses.std() / np.sqrt(4000)
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.5)


class Slow(GaussianNB):
    """Takes its time."""

    def fit(self, X, y, sample_weight=None):
        time.sleep(0.05)
        return super().fit(X, y)

    def predict_proba(self, X):
        time.sleep(0.02)
        return super().predict_proba(X)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_seconds_of_fits_and_predictions_from_the_cache_too(tmp_path, n_jobs):
    X, y = data()
    models = {"slow": Slow(), "bayes": GaussianNB()}
    for memory in (None, tmp_path, tmp_path):
        fitted = StackingPipeline(models, cv=3, n_jobs=n_jobs, random_state=0, memory=memory)
        fitted.fit(X, y)
        assert fitted.fit_times_["slow"] > 4 * 0.05 > 3 * 0.02
        assert fitted.predict_times_["slow"] > 3 * 0.02
        assert list(fitted.fit_times_) == list(fitted.predict_times_) == ["slow", "bayes"]
    table = fitted.leaderboard()
    assert table.loc["slow", "fit_seconds"] == fitted.fit_times_["slow"]
    assert table.loc["ensemble", "predict_seconds"] == sum(fitted.predict_times_.values())


def test_missing_cells_lost_models_and_failures():
    X, y = data()
    X[:, 0] = np.arange(len(y))
    models = [Misbehaving("raise"), Classifier(), LogisticRegression(C=-1)]
    with pytest.warns(BaseModelWarning):
        fitted = StackingPipeline(models, cv=4, random_state=0).fit(X, y)
    table = fitted.leaderboard()
    assert table.loc["misbehaving", "missing"] == pytest.approx(0.25)
    assert table.loc["misbehaving", "failures"] == 1
    assert table.loc["logisticregression", ["missing", "failures"]].tolist() == [1.0, 5]
    assert table.index[-1] == "logisticregression"  # no score at all
    seen = np.isfinite(fitted.oof_[:, 0])
    assert table.loc["misbehaving", "score"] == pytest.approx(
        -log_loss(y[seen], fitted.oof_[seen, 0])
    )
    weights = dict(zip(fitted.model_names_, fitted.meta_.coef_, strict=True))
    assert table.loc["misbehaving", "weight"] == weights["misbehaving"]


def test_rows_without_labels_and_a_meta_learner_without_probabilities_or_weights():
    X, y = data()
    labels = y.astype(float)
    labels[::4] = np.nan
    fitted = stack().fit(X, labels)
    known = np.isfinite(labels)
    expected = -log_loss(y[known], fitted.oof_[known, 0])
    assert fitted.leaderboard().loc["bayes", "score"] == pytest.approx(expected)
    plain = stack(meta=LinearSVC()).fit(X, y).leaderboard()
    assert np.isnan(plain.loc["ensemble", "score"])
    assert plain.loc["bayes", "weight"] != 0
    assert stack(meta=GaussianNB()).fit(X, y).leaderboard()["weight"].isna().all()


def test_labels_that_do_not_fit_are_refused():
    X, y = data()
    fitted = stack().fit(X, NAMES[y])
    for labels in (None, y, np.repeat("dog", len(y))):
        with pytest.raises(ValueError, match=r"needs a label of each row.*\['ant', 'bee'\]"):
            fitted.leaderboard(X, labels)


def test_a_scorer_that_does_not_fit_the_classes_is_an_error():
    X, y = data(3)
    with pytest.raises(ValueError, match="multi_class"):
        stack().fit(X, y).leaderboard(scoring="roc_auc")


@pytest.mark.parametrize("n_rare", [1, 2])
def test_few_rows_of_a_class(n_rare):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    y[-n_rare:] = 2
    with pytest.warns(UserWarning, match="lass 2"):
        fitted = StackingPipeline([GaussianNB(), LogisticRegression()], cv=3, random_state=0).fit(
            X, y
        )
    table = fitted.leaderboard()
    assert np.isfinite(table.loc[["gaussiannb", "average", "ensemble"], "score"]).all()


def test_masked_cells_of_a_matrix_are_missing():
    data = make_predictions(200, 4, missing=0.2, random_state=0)
    missing = np.isnan(data.R)
    masked = np.ma.masked_array(np.where(missing, 0.5, data.R), mask=missing)
    table, expected = score_models(masked, data.y), score_models(data.R, data.y)
    assert table.equals(expected)
    assert (table["missing"] > 0).any()
