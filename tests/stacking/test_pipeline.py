"""StackingPipeline as a whole; its parts have tests of their own."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from failing_models import Classifier, Counting, Misbehaving, Recording, n_fits
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import BaseModelError, BaseModelWarning, CFEnsemble, StackingPipeline


def numbered_data(n=120, n_classes=2, seed=0):
    """Rows whose first column is their number, so that a model can see which fold it is in."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    X = rng.normal(size=(n, 4)) + y[:, None]
    X[:, 0] = np.arange(n)
    return X, y


def stack(*models, **settings):
    settings = {"cv": 3, "random_state": 0} | settings
    return StackingPipeline([(f"m{u}", model) for u, model in enumerate(models)], **settings)


# Out of fold


@pytest.mark.parametrize(
    "model", [KNeighborsClassifier(1), DecisionTreeClassifier()], ids=["1-nn", "tree"]
)
@pytest.mark.parametrize(
    "cv", [4, RepeatedStratifiedKFold(n_splits=4, n_repeats=3, random_state=0)], ids=["4", "3x4"]
)
def test_a_memorising_model_scores_at_chance_in_oof(model, cv):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 5)), rng.integers(0, 2, 600)
    fitted = stack(model, cv=cv).fit(X, y)
    assert roc_auc_score(y, fitted.base_predictions(X)[:, 0]) == 1.0  # it has memorised the rows
    assert 0.42 < roc_auc_score(y, fitted.oof_[:, 0]) < 0.58


@pytest.mark.parametrize(
    "cv",
    [
        StratifiedKFold(4, shuffle=True, random_state=1),
        RepeatedStratifiedKFold(n_splits=3, n_repeats=4, random_state=1),
        ShuffleSplit(5, test_size=0.2, random_state=1),
        TimeSeriesSplit(4),
    ],
    ids=lambda cv: type(cv).__name__,
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_oof_is_the_mean_over_the_folds_that_held_a_row_out(cv, n_classes):
    X, y = numbered_data(n_classes=n_classes)
    predictions = [[] for _ in y]
    for train, test in cv.split(X, y):
        for row, P in zip(
            test, GaussianNB().fit(X[train], y[train]).predict_proba(X[test]), strict=True
        ):
            predictions[row].append(P)
    expected = np.array(
        [np.mean(rows, axis=0) if rows else np.full(n_classes, np.nan) for rows in predictions]
    )
    oof = stack(GaussianNB(), GaussianNB(var_smoothing=0.1), cv=cv).fit(X, y).oof_
    width = 1 if n_classes == 2 else 3
    assert oof.shape == (len(y), 2 * width)
    np.testing.assert_allclose(oof[:, :width], expected[:, -width:], rtol=1e-12)


def test_precomputed_splits_are_used_as_they_are():
    X, y = numbered_data()
    splits = list(KFold(3).split(X))
    masks = [
        (np.isin(np.arange(len(y)), train), np.isin(np.arange(len(y)), test))
        for train, test in splits
    ]
    oof = [
        stack(GaussianNB(), cv=cv).fit(X, y).oof_ for cv in (splits, masks, iter(splits), KFold(3))
    ]
    for other in oof[1:]:
        np.testing.assert_array_equal(oof[0], other)


@pytest.mark.parametrize("cv", [4, GroupKFold(4)], ids=["int", "GroupKFold"])
def test_no_group_is_on_both_sides(cv):
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(300, 5)), 2, axis=0), np.repeat(rng.integers(0, 2, 300), 2)
    groups = np.repeat(np.arange(300), 2)
    model = KNeighborsClassifier(1)  # knows the label of a row whose twin it was trained on
    assert roc_auc_score(y, stack(model, cv=4).fit(X, y).oof_[:, 0]) > 0.8
    assert 0.4 < roc_auc_score(y, stack(model, cv=cv).fit(X, y, groups=groups).oof_[:, 0]) < 0.6


def test_sorted_labels_do_not_matter():
    X, y = numbered_data()
    order = np.argsort(y, kind="stable")
    fitted = stack(GaussianNB()).fit(X[order], y[order])
    assert np.isfinite(fitted.oof_).all()


# Failures


@pytest.mark.parametrize("how", ["raise", "exit", "nan", "inf", "shape"])
def test_a_failure_in_one_fold_leaves_its_cells_missing(how):
    X, y = numbered_data()
    healthy = stack(Classifier(), Classifier()).fit(X, y)
    with pytest.warns(BaseModelWarning, match=r"'m1', fold [012] \(of 3 folds\)") as caught:
        fitted = stack(Classifier(), Misbehaving(how)).fit(X, y)
    assert len(caught) == 1
    (failure,) = fitted.failures_
    assert f"fold {failure.fold}" in str(caught[0].message)
    assert ("boom" in failure.reason) == (how == "raise")
    assert ("RuntimeError" in failure.traceback) == (how == "raise")
    folds = StratifiedKFold(3, shuffle=True, random_state=fitted._seed)
    (test,) = [test for _, test in folds.split(X, y) if 0 in test]
    missing = test[::2] if how in ("nan", "inf") else test
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(fitted.oof_[:, 1])), np.sort(missing))
    kept = np.isfinite(fitted.oof_)
    np.testing.assert_array_equal(fitted.oof_[kept], healthy.oof_[kept])
    # The model fitted on all rows is sound, so new rows have its predictions.
    np.testing.assert_array_equal(fitted.base_predictions(X), healthy.base_predictions(X))


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("how", ["raise", "nan"])
def test_on_failure_raise(how, n_jobs):
    X, y = numbered_data()
    with pytest.raises(BaseModelError, match=r"'m1', fold [012]: "):
        stack(Classifier(), Misbehaving(how), on_failure="raise", n_jobs=n_jobs).fit(X, y)


def test_a_model_without_final_fit_is_lost():
    X, y = numbered_data()
    with pytest.warns(BaseModelWarning, match="'m1', final fit"):
        fitted = stack(Classifier(), Misbehaving("raise", row=None, n_rows=len(X))).fit(X, y)
    assert np.isnan(fitted.oof_[:, 1]).all()
    assert np.isnan(fitted.base_predictions(X)[:, 1]).all()
    assert fitted.estimators_[1] is None
    assert fitted.named_estimators_["m1"] is None
    assert np.isfinite(fitted.predict_proba(X)).all()


def test_without_any_model_left_the_error_has_every_reason():
    X, y = numbered_data()
    models = [Misbehaving("raise", row=-1.0), LogisticRegression(C=-1)]
    with pytest.raises(ValueError, match="No base model is left") as caught:
        stack(*models).fit(X, y)
    message = str(caught.value)
    assert "'m0', fold 0, fold 1, fold 2, final fit: RuntimeError: boom" in message
    assert "'m1', fold 0, fold 1, fold 2, final fit: InvalidParameterError" in message


def test_a_model_that_cannot_predict_new_rows_is_left_out():
    X, y = numbered_data()
    fitted = stack(make_pipeline(SimpleImputer(), GaussianNB()), GaussianNB()).fit(X, y)
    X[3, 2] = np.nan
    with pytest.warns(
        BaseModelWarning, match="'m1' failed to predict new rows: ValueError: Input X contains NaN"
    ):
        R = fitted.base_predictions(X)
    assert np.isfinite(R[:, 0]).all()
    assert np.isnan(R[:, 1]).all()
    with pytest.raises(ValueError, match="each failed to predict"):
        stack(GaussianNB(), LogisticRegression()).fit(*numbered_data()).predict(X)


def test_a_meta_learner_that_refuses_nan_is_told_why_there_are_some():
    X, y = numbered_data()
    with (
        pytest.warns(BaseModelWarning),
        pytest.raises(
            ValueError,
            match=r"(?s)meta=LogisticRegression.*put an imputer.*'m1', fold [012]: Runtime",
        ),
    ):
        stack(Classifier(), Misbehaving("raise"), meta=LogisticRegression()).fit(X, y)


def test_a_class_that_a_fold_does_not_train_on():
    X, y = numbered_data(n=90, n_classes=3)
    splits = [
        (np.flatnonzero(y != 2), np.flatnonzero(y == 2)),
        (np.flatnonzero(np.arange(90) >= 30), np.arange(30)),
    ]
    with pytest.warns(
        BaseModelWarning, match="'m0', fold 0 .*no row of class 'c' among its training rows"
    ):
        fitted = stack(GaussianNB(), cv=splits).fit(X, np.array(["a", "b", "c"])[y])
    alone = fitted.oof_[(y == 2) & (np.arange(90) >= 30)]
    assert np.isnan(alone[:, 2]).all()
    np.testing.assert_allclose(alone[:, :2].sum(axis=1), 1)
    assert np.isfinite(fitted.oof_[:30]).all()

    X, y = numbered_data(n=90)
    splits = [(np.flatnonzero(y == 1), np.arange(0, 90, 2)), (np.arange(30, 90), np.arange(30))]
    with pytest.warns(BaseModelWarning, match="'m0', fold 0 .*only one class"):
        fitted = stack(GaussianNB(), cv=splits).fit(X, y)
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(fitted.oof_[:, 0])), np.arange(30))


@pytest.mark.parametrize("n_rare", [2, 3])
def test_a_class_with_fewer_rows_than_folds(n_rare):
    X, y = numbered_data()
    y = (np.arange(120) < n_rare).astype(int)
    with pytest.warns(UserWarning, match=f"Class 1 has {n_rare} rows, fewer than cv=5 folds"):
        fitted = stack(GaussianNB(), cv=5).fit(X, y)
    assert np.isfinite(fitted.oof_).all()
    assert fitted.failures_ == []


def test_a_class_of_one_row_is_missing_where_the_fold_cannot_know_it():
    X, y = numbered_data()
    y = np.where(np.arange(120) == 7, 2, y)
    with pytest.warns(UserWarning, match=r"[Cc]lass 2") as caught:
        fitted = stack(GaussianNB(), cv=5).fit(X, y)
    rare, missing = (str(record.message) for record in caught)
    assert "Class 2 has 1 row, fewer than cv=5 folds" in rare
    assert "no row of class 2 among its training rows" in missing
    assert len(fitted.failures_) == 1
    np.testing.assert_array_equal(np.isnan(fitted.oof_).any(axis=0), [False, False, True])
    assert np.isnan(fitted.oof_[7, 2])
    assert np.isnan(fitted.oof_[:, 2]).sum() == 24
    assert fitted.predict_proba(X).shape == (120, 3)


# Scores


def test_calibrated_scores_beat_the_bare_sigmoid_and_new_rows_are_calibrated_alike():
    X, y = make_classification(1500, n_informative=4, weights=[0.9], class_sep=0.7, random_state=0)
    svm = make_pipeline(StandardScaler(), LinearSVC(random_state=0))
    fitted = stack(svm).fit(X[:800], y[:800])
    new = fitted.base_predictions(X[800:])[:, 0]
    bare = 1 / (1 + np.exp(-fitted.estimators_[0].decision_function(X[800:])))
    assert log_loss(y[:800], fitted.oof_[:, 0]) < log_loss(y[800:], bare) - 0.02
    assert log_loss(y[800:], new) < log_loss(y[800:], bare) - 0.02
    assert list(fitted.calibrators_) == ["m0"]


# Reproducibility


def test_results_do_not_depend_on_n_jobs_or_backend():
    from joblib import parallel_config

    X, y = numbered_data()
    models = [DecisionTreeClassifier(max_features=1), LinearSVC(), GaussianNB()]
    alone = stack(*models).fit(X, y)
    fits = [stack(*models, n_jobs=2).fit(X, y)]
    for backend in ("threading", "multiprocessing"):
        with parallel_config(backend, n_jobs=2):
            fits.append(stack(*models).fit(X, y))
    for other in fits:
        np.testing.assert_array_equal(alone.oof_, other.oof_)
        np.testing.assert_array_equal(alone.predict_proba(X), other.predict_proba(X))


def test_seeds_belong_to_the_model_not_to_its_place():
    X, y = numbered_data()
    tree, fixed = (
        DecisionTreeClassifier(max_features=1),
        DecisionTreeClassifier(max_features=1, random_state=7),
    )
    pipeline = StackingPipeline(
        [("bayes", GaussianNB()), ("tree", tree), ("fixed", fixed)], random_state=0
    ).fit(X, y)
    alone = StackingPipeline([("tree", tree)], random_state=0).fit(X, y)
    np.testing.assert_array_equal(pipeline.oof_[:, 1], alone.oof_[:, 0])
    assert tree.random_state is None
    assert pipeline.named_estimators_["fixed"].random_state == 7
    other = StackingPipeline([("tree", tree)], random_state=1).fit(X, y)
    assert not np.array_equal(alone.oof_, other.oof_)


# Weights, groups, routing


def test_sample_weight_reaches_every_model_that_takes_it():
    X, y = numbered_data()
    weights = np.linspace(0.5, 2, len(y))
    models = [
        Recording(),
        make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), GaussianNB())),
        GridSearchCV(GaussianNB(), {"var_smoothing": [1e-3]}, cv=2),
        KNeighborsClassifier(),
    ]
    with pytest.warns(BaseModelWarning, match="The fit of 'm3' takes no sample_weight"):
        weighted = stack(*models, meta=GaussianNB()).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(weighted.estimators_[0].sample_weight_, weights)
    plain = stack(*models, meta=GaussianNB()).fit(X, y)
    differs = np.abs(weighted.oof_ - plain.oof_).max(axis=0) > 0
    np.testing.assert_array_equal(
        differs, [False, True, True, False]
    )  # the first predicts a constant
    expected = GaussianNB().fit(weighted.oof_, y, sample_weight=weights)
    np.testing.assert_array_equal(weighted.meta_.theta_, expected.theta_)


def test_metadata_routing_follows_requests():
    X, y = numbered_data()
    weights, groups = np.linspace(0.5, 2, len(y)), np.arange(len(y)) // 3
    with config_context(enable_metadata_routing=True):
        takes = Recording().set_fit_request(sample_weight=True)
        refuses = Recording().set_fit_request(sample_weight=False)
        meta = GaussianNB().set_fit_request(sample_weight=True)
        fitted = stack(takes, refuses, meta=meta, cv=GroupKFold(3)).fit(
            X, y, sample_weight=weights, groups=groups
        )
        np.testing.assert_array_equal(fitted.estimators_[0].sample_weight_, weights)
        assert fitted.estimators_[1].sample_weight_ is None
        np.testing.assert_array_equal(fitted.refit_meta(meta).oof_, 0.5)
        with pytest.raises(Exception, match="are passed but are not explicitly set as requested"):
            stack(Recording()).fit(X, y, sample_weight=weights)
        # The parts that the pipeline chooses itself request what they take.
        StackingPipeline([takes], cv=3).fit(X, y, sample_weight=weights, groups=groups)
        StackingPipeline([Recording()], cv=3).fit(X, y)


# Tables


def mixed_columns(n=60):
    rng = np.random.default_rng(0)
    return {
        "number": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
        "flag": rng.random(n) < 0.5,
        "text": [("red", "green", None)[k] for k in rng.integers(0, 3, n)],
        "kind": pd.Categorical(rng.choice(["a", "b"], n)),
    }


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_frames_reach_the_models_untouched(library, n_jobs):
    frame = pd.DataFrame(mixed_columns())
    if library is pl:
        frame = pl.DataFrame(
            dict(mixed_columns(), kind=list(frame["kind"])),
            schema_overrides={"kind": pl.Categorical},
        )
    types = [str(kind) for kind in frame.dtypes]
    fitted = stack(Recording(), n_jobs=n_jobs).fit(frame, np.arange(60) % 2)
    assert fitted.estimators_[0].table_ is library.DataFrame
    assert fitted.estimators_[0].column_types_ == types
    assert fitted.failures_ == []
    assert list(fitted.feature_names_in_) == ["number", "flag", "text", "kind"]
    assert fitted.predict(frame[:5]).shape == (5,)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[["flag", "number", "text", "kind"]])


def test_sparse_rows():
    X, y = numbered_data()
    dense, sparse = (
        stack(LogisticRegression(C=0.1, max_iter=5000)).fit(A, y) for A in (X, csr_array(X))
    )
    np.testing.assert_allclose(dense.oof_, sparse.oof_, atol=1e-6)


# The meta-learner


def test_refit_meta_fits_no_base_model(tmp_path):
    X, y = numbered_data()
    fitted = stack(Counting(str(tmp_path)), meta=CFEnsemble()).fit(X, y)
    assert n_fits(tmp_path) == 4  # three folds and the final fit
    first = fitted.predict_proba(X)
    assert fitted.refit_meta(LogisticRegression(C=1e-3)) is fitted
    assert n_fits(tmp_path) == 4
    assert isinstance(fitted.meta_, LogisticRegression)
    assert isinstance(clone(fitted).meta, LogisticRegression)
    assert not np.allclose(fitted.predict_proba(X), first)
    np.testing.assert_array_equal(fitted.refit_meta(None).predict_proba(X), first)


def test_rows_never_held_out_are_kept_from_the_meta_learner():
    X, y = numbered_data()
    fitted = stack(GaussianNB(), cv=TimeSeriesSplit(3), meta=LogisticRegression()).fit(X, y)
    held_out = np.arange(len(y)) >= 30
    np.testing.assert_array_equal(np.isnan(fitted.oof_[:, 0]), ~held_out)
    expected = LogisticRegression().fit(fitted.oof_[held_out], y[held_out])
    np.testing.assert_allclose(fitted.meta_.coef_, expected.coef_)


def test_string_labels_and_three_classes():
    X, codes = numbered_data(n_classes=3)
    names = np.array(["low", "middle", "very high"])
    fitted = stack(GaussianNB(), LinearSVC(), meta=LogisticRegression()).fit(X, names[codes])
    numeric = stack(GaussianNB(), LinearSVC(), meta=LogisticRegression()).fit(X, codes)
    np.testing.assert_array_equal(fitted.oof_, numeric.oof_)
    np.testing.assert_array_equal(fitted.predict(X), names[numeric.predict(X)])
    np.testing.assert_allclose(fitted.oof_.reshape(len(X), 2, 3).sum(axis=2), 1)
    assert list(fitted.get_feature_names_out())[:4] == [
        "m0_low",
        "m0_middle",
        "m0_very high",
        "m1_low",
    ]
    assert fitted.predict_proba(X).shape == (120, 3)
    assert stack(GaussianNB(), LinearSVC()).fit(X, codes).predict_proba(X).shape == (120, 3)


def test_a_meta_learner_for_two_classes_is_refused_before_any_fit(tmp_path):
    class Binary(Classifier):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.classifier_tags.multi_class = False
            return tags

    with pytest.raises(ValueError, match="Only binary classification is supported by meta=Binary"):
        stack(Counting(str(tmp_path)), meta=Binary()).fit(*numbered_data(n_classes=3))
    assert n_fits(tmp_path) == 0


# Unlabelled rows


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("model", [GaussianNB(), LinearSVC()], ids=["probabilities", "scores"])
def test_unlabelled_rows_train_no_base_model_and_get_the_final_models_predictions(nothing, model):
    X, codes = numbered_data()
    unlabelled = np.arange(len(X)) % 4 == 1
    y = np.array(["no", "yes"], dtype=object)[codes]
    y[unlabelled] = nothing
    fitted = stack(model, GaussianNB()).fit(X, y)
    labelled_only = stack(model, GaussianNB()).fit(X[~unlabelled], y[~unlabelled].astype(str))
    np.testing.assert_allclose(fitted.oof_[~unlabelled], labelled_only.oof_, rtol=1e-12)
    np.testing.assert_allclose(
        fitted.oof_[unlabelled], labelled_only.base_predictions(X[unlabelled]), rtol=1e-12
    )
    assert list(fitted.classes_) == ["no", "yes"]
    plain = stack(model, GaussianNB(), meta=LogisticRegression()).fit(X, y)
    np.testing.assert_allclose(
        plain.meta_.coef_, LogisticRegression().fit(labelled_only.oof_, codes[~unlabelled]).coef_
    )


# Parameters


@pytest.mark.filterwarnings("ignore:CFEnsemble stopped:sklearn.exceptions.ConvergenceWarning")
def test_parameters_of_the_base_models():
    models = [("tree", DecisionTreeClassifier(max_depth=2)), ("bayes", GaussianNB())]
    pipeline = StackingPipeline(models, cv=3, random_state=0)
    assert pipeline.get_params()["tree__max_depth"] == 2
    pipeline.set_params(tree__max_depth=5, bayes="drop", meta=CFEnsemble(), meta__rho=0.9)
    assert pipeline.estimators[0][1].max_depth == 5
    X, y = numbered_data()
    assert pipeline.fit(X, y).model_names_ == ["tree"]
    search = GridSearchCV(
        pipeline, {"tree__max_depth": [1, 2], "bayes": ["drop", GaussianNB()]}, cv=2
    ).fit(X, y)
    assert set(search.best_params_) == {"tree__max_depth", "bayes"}


def test_bare_estimators_are_named_after_their_class():
    pipeline = StackingPipeline(
        [GaussianNB(), DecisionTreeClassifier(), GaussianNB()], meta=LogisticRegression(), cv=2
    )
    names = ["gaussiannb-1", "decisiontreeclassifier", "gaussiannb-2"]
    assert pipeline.fit(*numbered_data()).model_names_ == names
    assert list(pipeline.get_feature_names_out()) == names


def test_pickle():
    X, y = numbered_data()
    with pytest.warns(BaseModelWarning):
        fitted = stack(Misbehaving("raise"), LinearSVC()).fit(X, y)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))
    assert copy.failures_ == fitted.failures_


def test_a_bar_over_the_fits(capsys):
    stack(GaussianNB(), progress=True).fit(*numbered_data())
    assert "4/4" in capsys.readouterr().err


def test_repeats_of_which_one_lacks_a_class_leave_probabilities_that_sum_to_one():
    X, y = make_classification(
        500, 8, n_informative=5, n_classes=3, weights=[0.6, 0.37], random_state=0
    )
    rare = np.flatnonzero(y == 2)
    y[rare[2:]] = 0
    models = [("tree", DecisionTreeClassifier(max_depth=3)), ("bayes", GaussianNB())]
    cv = RepeatedKFold(n_splits=3, n_repeats=2, random_state=5)
    with pytest.warns(BaseModelWarning):
        stack = StackingPipeline(models, meta=CFEnsemble(), cv=cv, random_state=0).fit(X, y)
    sums = stack.oof_.reshape(500, 2, 3).sum(axis=2)
    np.testing.assert_allclose(sums[np.isfinite(sums)], 1.0)
    assert stack.meta_.layout_ == "model-major"
    assert stack.meta.layout == "auto"


class Flipped(GaussianNB):
    """The mirror of a model, so that the two columns sum to 1."""

    def predict_proba(self, X):
        return super().predict_proba(X)[:, ::-1]


def test_a_model_and_its_mirror_are_two_models():
    X, y = make_classification(200, random_state=0)
    models = [("bayes", GaussianNB()), ("flipped", Flipped())]
    stack = StackingPipeline(models, meta=CFEnsemble(), cv=3, random_state=0).fit(X, y)
    assert stack.meta_.layout_ == "positive"
    assert stack.meta_.coef_[0] > stack.meta_.coef_[1]


class NanAtPrediction(GaussianNB):
    """Fine in training, and NaN for rows far out."""

    def predict_proba(self, X):
        return np.where(
            np.abs(X).max(axis=1, keepdims=True) > 100, np.nan, super().predict_proba(X)
        )


def test_nan_predictions_for_new_rows_are_reported():
    X, y = make_classification(200, random_state=0)
    models = [("nan", NanAtPrediction()), ("tree", DecisionTreeClassifier(max_depth=3))]
    stack = StackingPipeline(models, cv=3, random_state=0).fit(X, y)
    new = X[:5].copy()
    new[0] = 1000.0
    with pytest.warns(BaseModelWarning, match="NaN or infinite predictions for 1 of 5 new rows"):
        R = stack.base_predictions(new)
    assert np.isnan(R[0, 0])
    assert np.isfinite(R[1:, 0]).all()
