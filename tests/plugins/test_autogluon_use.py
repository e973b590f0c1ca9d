"""What a user of AutoGluon does with a PredictorEnsemble: thresholds, weights, temperatures, boards,
files.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from autogluon_tables import BAGGED, MODELS, table
from sklearn.metrics import log_loss

from cfens_stack import CFEnsemble

with warnings.catch_warnings():  # of optional parts that are not there
    warnings.simplefilter("ignore")
    tabular = pytest.importorskip("autogluon.tabular", reason="autogluon.tabular is not installed")

from cfens_stack.plugins.autogluon import PredictorEnsemble

pytestmark = pytest.mark.filterwarnings("ignore")  # what the toolkit warns of is not ours to mend
ONE_CORE = {"num_cpus": 1, "num_gpus": 0}


def clone_of(predictor, path):
    return predictor.clone(str(path / "clone"), return_clone=True)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_pandas_in_pandas_out(predictors, n_classes, tmp_path):
    stack, new = PredictorEnsemble(predictors[n_classes, True]).fit(), table(n_classes)[1]
    P, labels = stack.predict_proba(new), stack.predict(new)
    assert P.index.equals(new.index)
    assert labels.index.equals(new.index)
    assert labels.name == "kind"
    np.testing.assert_array_equal(P.columns, stack.classes_)
    np.testing.assert_array_equal(labels, P.columns[P.to_numpy().argmax(axis=1)])
    np.testing.assert_array_equal(stack.predict_proba(new, as_pandas=False), P)
    np.testing.assert_array_equal(stack.predict(new, as_pandas=False), labels)
    new.to_csv(tmp_path / "new.csv", index=False)
    np.testing.assert_allclose(stack.predict_proba(str(tmp_path / "new.csv")), P)


def test_predict_follows_the_decision_threshold(predictors, tmp_path):
    """Of the predictor, for its positive class, unless another is passed."""
    predictor, new = clone_of(predictors[2, True], tmp_path), table(2)[1]
    stack = PredictorEnsemble(predictor).fit()
    p = stack.predict_proba(new)[predictor.positive_class]
    for threshold in (0.2, 0.8):
        predictor.set_decision_threshold(threshold)
        np.testing.assert_array_equal(stack.predict(new) == predictor.positive_class, p > threshold)
    at_half = stack.predict(new, decision_threshold=0.5)
    np.testing.assert_array_equal(at_half == predictor.positive_class, p > 0.5)


def test_the_threshold_is_of_the_positive_class_of_choice(tmp_path):
    train, new = table(2)
    predictor = tabular.TabularPredictor(
        "kind", path=str(tmp_path), verbosity=0, positive_class="bee"
    ).fit(train, hyperparameters={"LR": {}, "XT": MODELS["XT"]}, **ONE_CORE, **BAGGED)
    predictor.set_decision_threshold(0.9)
    stack = PredictorEnsemble(predictor).fit()
    assert list(stack.classes_) == ["bee", "cat"]
    P = stack.predict_proba(new)
    np.testing.assert_array_equal(stack.predict(new) == "bee", P["bee"] > 0.9)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_temperature_scales_the_predictions_of_the_fit_too(predictors, n_classes, tmp_path):
    """Without a weighted ensemble AutoGluon calibrates its best base model, for new rows alone."""
    predictor = clone_of(predictors[n_classes, True], tmp_path)
    plain = PredictorEnsemble(predictor).fit().R_
    name = predictor.model_names(level=1)[0]
    model = predictor._trainer.load_model(name)
    model.temperature_scalar = 3.0
    model.save()
    unpersisted = tabular.TabularPredictor.load(predictor.path)
    R = PredictorEnsemble(unpersisted).fit().R_
    of_model = [c for c in R if c.split("=")[0] == name]
    others = R.columns.difference(of_model)
    pd.testing.assert_frame_equal(R[others], plain[others])
    P = plain[of_model].to_numpy()
    P = np.column_stack([1 - P, P]) if n_classes == 2 else P
    scaled = P ** (1 / 3)
    scaled /= scaled.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(R[of_model], scaled[:, n_classes == 2 :], atol=1e-6)


def test_calibrated_by_autogluon_itself(tmp_path):
    """The temperature of the only model moves neither fit nor prediction away from each other: on
    rows of the fit's distribution both are spread alike.
    """
    train, new = table(2)
    predictor = tabular.TabularPredictor(
        "kind", path=str(tmp_path), verbosity=0, eval_metric="log_loss"
    ).fit(
        train,
        hyperparameters={"XT": {"n_estimators": 20, "max_depth": 3}},
        fit_weighted_ensemble=False,
        calibrate=True,
        **ONE_CORE,
        **BAGGED,
    )
    (name,) = predictor.model_names()
    temperature = predictor._trainer.load_model(name).temperature_scalar
    assert temperature is not None
    stack = PredictorEnsemble(predictor).fit()
    oof = predictor.predict_proba_oof(name).loc[stack.R_.index, stack.classes_]
    powers = oof.to_numpy() ** (1 / temperature)
    np.testing.assert_allclose(stack.R_[name], powers[:, 1] / powers.sum(axis=1), atol=1e-6)
    assert log_loss(new["kind"], stack.predict_proba(new)) < 0.6


def test_holdout_predictions_are_those_that_new_rows_get(predictors, tmp_path):
    predictor = clone_of(predictors[2, False], tmp_path)
    name = predictor.model_names(level=1)[0]
    model = predictor._trainer.load_model(name)
    model.temperature_scalar = 2.0
    model.save()
    stack = PredictorEnsemble(tabular.TabularPredictor.load(predictor.path)).fit()
    rows = table(2)[0].loc[stack.R_.index]
    np.testing.assert_allclose(
        stack.R_[name], stack.predictor.predict_proba(rows, model=name)[stack.classes_[1]]
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_of_rows_arrive(n_classes, tmp_path):
    """Weights that are 0 for some rows, so that leaving these out gives the same."""
    train, _ = table(n_classes)
    counted = np.random.default_rng(0).random(len(train)) < 0.7
    predictor = tabular.TabularPredictor(
        "kind", path=str(tmp_path), verbosity=0, sample_weight="w"
    ).fit(
        train.assign(w=counted.astype(float)),
        hyperparameters={"LR": {}, "XT": MODELS["XT"]},
        **ONE_CORE,
        **BAGGED,
    )
    stack = PredictorEnsemble(predictor).fit()
    kept = stack.sample_weight_.to_numpy() > 0
    assert 0 < kept.mean() < 1
    pd.testing.assert_series_equal(
        stack.sample_weight_ > 0,
        pd.Series(counted, index=train.index).loc[stack.R_.index],
        check_names=False,
    )
    layout = "positive" if n_classes == 2 else "model-major"
    alone = CFEnsemble(layout=layout).fit(stack.R_, stack.y_, sample_weight=kept.astype(float))
    np.testing.assert_allclose(stack.ensemble_.coef_, alone.coef_)
    everything = CFEnsemble(layout=layout).fit(stack.R_, stack.y_)
    assert not np.allclose(stack.ensemble_.coef_, everything.coef_)


@pytest.mark.parametrize(("n_classes", "bagged"), [(2, True), (3, True), (2, False)])
def test_a_line_in_the_leaderboard(predictors, n_classes, bagged, tmp_path):
    predictor, new = predictors[n_classes, bagged], table(n_classes)[1]
    stack = PredictorEnsemble(predictor).fit()
    for data in (None, new):
        own, board = predictor.leaderboard(data), stack.leaderboard(data)
        assert list(board.columns) == list(own.columns)
        assert len(board) == len(own) + 1
        score = "score_val" if data is None else "score_test"
        assert board[score].is_monotonic_decreasing
        assert (board.dtypes == own.dtypes).all()
        rest = board[board["model"] != "CFEnsemble"]
        assert sorted(rest["model"]) == sorted(own["model"])
    line = board.set_index("model").loc["CFEnsemble"]
    new.to_csv(tmp_path / "new.csv", index=False)
    of_file = stack.leaderboard(str(tmp_path / "new.csv")).set_index("model").loc["CFEnsemble"]
    assert of_file["score_test"] == pytest.approx(line["score_test"])
    assert line["score_test"] == pytest.approx(np.mean(stack.predict(new) == new["kind"]))
    assert line["stack_level"] == 2
    fitted_on = np.mean(stack.predict(table(n_classes)[0].loc[stack.R_.index]) == stack.y_)
    assert 0.5 < line["score_val"] <= fitted_on


def test_as_few_models_as_asked(predictors):
    stack = PredictorEnsemble(predictors[2, True], max_models=2).fit()
    assert len(stack.models_) <= 2
    assert list(stack.R_) == stack.models_
    assert stack.predict_proba(table(2)[1]).shape == (100, 2)
    stack = PredictorEnsemble(predictors[3, True], max_models=1).fit()
    assert len(stack.models_) == 1
    assert stack.R_.shape[1] == 3


def test_models_refitted_on_all_rows(predictors, tmp_path):
    """They answer for new rows, with the out-of-fold predictions of the models they come from."""
    predictor, new = clone_of(predictors[2, True], tmp_path), table(2)[1]
    originals = PredictorEnsemble(predictor).fit()
    refitted = predictor.refit_full()
    stack = PredictorEnsemble(predictor, models=[refitted[m] for m in originals.models_]).fit()
    np.testing.assert_array_equal(stack.R_, originals.R_)
    expected = originals.ensemble_.predict_proba(
        np.column_stack([predictor.predict_proba(new, model=m)["cat"] for m in stack.models_])
    )
    np.testing.assert_allclose(stack.predict_proba(new), expected)


def test_saving_space_keeps_predictions(predictors, tmp_path):
    predictor, new = clone_of(predictors[2, True], tmp_path), table(2)[1]
    stack = PredictorEnsemble(predictor).fit()
    P = stack.predict_proba(new)
    predictor.save_space()
    pd.testing.assert_frame_equal(stack.predict_proba(new), P)
    with pytest.raises(ValueError, match="before save_space"):
        PredictorEnsemble(predictor).fit()


def test_out_of_fold_predictions_that_are_gone(predictors, tmp_path):
    predictor = clone_of(predictors[2, True], tmp_path)
    predictor.save_space(remove_data=False)
    with pytest.raises(ValueError, match="before save_space"):
        PredictorEnsemble(predictor).fit()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_clone_for_deployment(predictors, n_classes, tmp_path):
    """Only the models that take part are left, and what is loaded predicts the same."""
    predictor, new = predictors[n_classes, True], table(n_classes)[1]
    stack = PredictorEnsemble(predictor, CFEnsemble(rho=0.25), max_models=2).fit()
    deployed = stack.clone_for_deployment(tmp_path / "small")
    loaded = PredictorEnsemble.load(tmp_path / "small")
    for other in (deployed, loaded):
        pd.testing.assert_frame_equal(other.predict_proba(new), stack.predict_proba(new))
        pd.testing.assert_series_equal(other.predict(new), stack.predict(new))
        assert sorted(other.predictor.model_names()) == sorted(stack.models_)
        with pytest.raises(ValueError, match="clone for deployment"):
            other.leaderboard()
    assert stack.R_ is not None
    assert predictor.model_names() != stack.models_
    with pytest.raises(FileNotFoundError, match="call save"):
        PredictorEnsemble.load(predictor.path)


def test_saved_beside_the_predictor(predictors, tmp_path):
    predictor, new = clone_of(predictors[2, True], tmp_path), table(2)[1]
    stack = PredictorEnsemble(predictor).fit()
    stack.save()
    loaded = PredictorEnsemble.load(predictor.path)
    pd.testing.assert_frame_equal(loaded.predict_proba(new), stack.predict_proba(new))
    pd.testing.assert_frame_equal(loaded.R_, stack.R_)


def test_repr_shows_the_weights(predictors):
    stack = PredictorEnsemble(predictors[2, True])
    assert "not fitted" in repr(stack)
    text = repr(stack.fit())
    largest = stack.weights_.abs().idxmax()
    assert f"CFEnsemble of {len(stack.models_)} models, out-of-fold" in text
    assert f"; {largest} {stack.weights_[largest]:.2f}" in text
