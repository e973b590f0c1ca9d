"""PredictorEnsemble and CFEnsembleModel in AutoGluon's own TabularPredictor."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from autogluon_tables import BAGGED, MODELS, table
from sklearn.exceptions import NotFittedError

from cfens_stack import CFEnsemble, CFEnsembleSearch

with warnings.catch_warnings():  # of optional parts that are not there
    warnings.simplefilter("ignore")
    tabular = pytest.importorskip("autogluon.tabular", reason="autogluon.tabular is not installed")

from cfens_stack.plugins.autogluon import PredictorEnsemble
from cfens_stack.plugins.autogluon_model import CFEnsembleModel, register

pytestmark = pytest.mark.filterwarnings("ignore")  # what the toolkit warns of is not ours to mend


@pytest.mark.parametrize(("n_classes", "bagged"), [(2, True), (3, True), (2, False)])
def test_new_rows_through_the_ensemble(predictors, n_classes, bagged):
    predictor, (train, new) = predictors[n_classes, bagged], table(n_classes)
    stack = PredictorEnsemble(predictor).fit()
    assert stack.rows_ == ("out-of-fold" if bagged else "holdout")
    assert len(stack.R_) == len(train) if bagged else len(stack.R_) < len(train)
    assert sorted(stack.models_) == sorted(predictor.model_names(level=1))
    pd.testing.assert_series_equal(stack.y_, train.loc[stack.R_.index, "kind"], check_dtype=False)
    np.testing.assert_array_equal(stack.classes_, sorted(train["kind"].unique()))
    np.testing.assert_array_equal(stack.ensemble_.classes_, stack.classes_)
    P = stack.predict_proba(new)
    np.testing.assert_allclose(P.sum(axis=1), 1.0)
    assert np.mean(stack.predict(new) == new["kind"]) > 0.75
    np.testing.assert_allclose(stack.predict_proba(new.iloc[::-1]), P[::-1])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_columns_are_out_of_fold_predictions_of_the_named_class(predictors, n_classes):
    predictor = predictors[n_classes, True]
    stack = PredictorEnsemble(predictor).fit()
    model = stack.models_[0]
    oof = predictor.predict_proba_oof(model)
    for label in stack.classes_[n_classes == 2 :]:
        column = model if n_classes == 2 else f"{model}={label}"
        pd.testing.assert_series_equal(
            stack.R_[column], oof.loc[stack.R_.index, label], check_names=False
        )
    assert stack.ensemble_.layout_ == ("positive" if n_classes == 2 else "model-major")


def test_rows_outside_every_fold_are_missing(predictors, tmp_path):
    """Such rows come from bagging cut short; here their number of held-out folds is set to 0 in the
    saved model.
    """
    predictor = predictors[2, True].clone(str(tmp_path / "copy"), return_clone=True)
    name = predictor.model_names(level=1)[0]
    file = tmp_path / "copy" / "models" / name / "utils" / "oof.pkl"
    saved = pickle.loads(file.read_bytes())
    saved["_oof_pred_model_repeats"][:7] = 0
    file.write_bytes(pickle.dumps(saved))
    stack = PredictorEnsemble(predictor).fit()
    assert stack.R_.isna().sum().to_dict() == {
        model: 7 * (model == name) for model in stack.models_
    }
    assert np.isfinite(stack.predict_proba(table(2)[1]).to_numpy()).all()


def test_bagging_with_a_holdout_is_fitted_on_the_holdout(tmp_path):
    train = table(2)[0]
    predictor = tabular.TabularPredictor("kind", path=str(tmp_path), verbosity=0)
    predictor.fit(
        train, hyperparameters=MODELS, num_cpus=1, num_gpus=0, use_bag_holdout=True, **BAGGED
    )
    stack = PredictorEnsemble(predictor).fit()
    assert stack.rows_ == "holdout"
    assert len(stack.R_) < len(train) / 2
    pd.testing.assert_series_equal(stack.y_, train.loc[stack.R_.index, "kind"], check_dtype=False)


def test_a_class_that_autogluon_drops_has_no_column(tmp_path):
    train, new = table(3)
    train = pd.concat([train[train["kind"] != "bee"], train[train["kind"] == "bee"].head(3)])
    predictor = tabular.TabularPredictor(
        "kind", path=str(tmp_path), verbosity=0, problem_type="multiclass"
    )
    predictor.fit(
        train, hyperparameters={"LR": {}, "XT": MODELS["XT"]}, num_cpus=1, num_gpus=0, **BAGGED
    )
    stack = PredictorEnsemble(predictor).fit()
    np.testing.assert_array_equal(stack.classes_, ["ant", "cat"])
    assert stack.predict_proba(new).shape == (len(new), 2)


def test_settings_and_models_of_choice(predictors):
    predictor, new = predictors[3, True], table(3)[1]
    names = predictor.model_names(level=1)[:2]
    ensemble = CFEnsemble(latent_dim=2)
    stack = PredictorEnsemble(predictor, ensemble, models=names).fit()
    assert stack.ensemble_.n_features_in_ == 6
    assert stack.ensemble_.latent_dim == 2
    assert not hasattr(ensemble, "classes_")
    assert stack.predict_proba(new).shape == (len(new), 3)
    with pytest.raises(NotFittedError):
        PredictorEnsemble(predictor).predict(new)
    with pytest.raises(ValueError, match="not among"):
        PredictorEnsemble(predictor, models=["no such model"]).fit()


def test_search_as_ensemble(predictors):
    search = CFEnsembleSearch(n_trials=3, cv=2, estimator=CFEnsemble(), random_state=0)
    stack = PredictorEnsemble(predictors[2, True], search).fit()
    assert stack.ensemble_.best_estimator_.layout_ == "positive"
    assert stack.predict_proba(table(2)[1]).shape == (100, 2)


def test_models_refitted_on_the_holdout_take_no_part(predictors, tmp_path):
    predictor = predictors[2, False].clone(str(tmp_path / "copy"), return_clone=True)
    refitted = predictor.refit_full()
    assert refitted
    stack = PredictorEnsemble(predictor).fit()
    assert not set(stack.models_) & set(refitted.values())
    full = next(name for name in refitted.values() if name in predictor.model_names(level=1))
    with pytest.raises(ValueError, match="refitted on the holdout"):
        PredictorEnsemble(predictor, models=[full]).fit()


def test_regression_is_refused(tmp_path):
    data = table(2)[0].drop(columns="kind")
    predictor = tabular.TabularPredictor(
        "a", path=str(tmp_path), verbosity=0, problem_type="regression"
    )
    predictor.fit(data, hyperparameters={"LR": {}}, num_cpus=1, num_gpus=0)
    with pytest.raises(ValueError, match="'regression'"):
        PredictorEnsemble(predictor).fit()


TWO_TREES = {**MODELS, "XT": [MODELS["XT"], {**MODELS["XT"], "ag_args": {"name_suffix": "Again"}}]}
STACKED = {**BAGGED, "num_stack_levels": 1}


def second_layer(n_classes, path, hyperparameters, **settings):
    train, new = table(n_classes)
    predictor = tabular.TabularPredictor("kind", path=str(path), verbosity=0)
    return predictor.fit(
        train, hyperparameters=hyperparameters, num_cpus=1, num_gpus=0, **STACKED | settings
    ), new


def inner_ensemble(predictor, name):
    """The CFEnsemble of the first fold, and the columns that it was given."""
    bag = predictor._trainer.load_model(name)
    child = bag.load_child(bag.models[0])
    return child.model, child.features


@pytest.mark.parametrize(("n_classes", "layout"), [(2, "positive"), (3, "model-major")])
def test_second_layer_sees_the_predictions_of_all_models_alone(tmp_path, n_classes, layout):
    """Two models of one family too, of which AutoGluon would keep one on so few rows."""
    predictor, new = second_layer(
        n_classes, tmp_path, {**TWO_TREES, CFEnsembleModel: {"latent_dim": 2}}
    )
    assert [name for name in predictor.model_names() if "CFEnsemble" in name] == [
        "CFEnsemble_BAG_L2"
    ]
    meta, columns = inner_ensemble(predictor, "CFEnsemble_BAG_L2")
    models = predictor.model_names(level=1)
    assert len(models) == 4
    assert columns == (
        models if n_classes == 2 else [f"{m}_{k}" for m in models for k in range(n_classes)]
    )
    assert (meta.latent_dim, meta.layout_, list(meta.classes_)) == (
        2,
        layout,
        list(range(n_classes)),
    )
    P = tabular.TabularPredictor.load(str(tmp_path)).predict_proba(new, model="CFEnsemble_BAG_L2")
    np.testing.assert_allclose(P.sum(axis=1), 1.0, atol=1e-6)
    assert np.mean(P.idxmax(axis=1) == new["kind"]) > 0.7


@pytest.mark.parametrize("n_classes", [2, 3])
def test_added_later_by_its_key(tmp_path, n_classes):
    register()
    register()
    predictor, new = second_layer(n_classes, tmp_path, MODELS, num_stack_levels=0)
    settings = {"base_model_names": predictor.model_names(level=1), "num_cpus": 1, "num_gpus": 0}
    predictor.fit_extra(
        {"CFENS": {"rho": 0.25}}, ag_args_ensemble=BAGGED["ag_args_ensemble"], **settings
    )
    assert inner_ensemble(predictor, "CFEnsemble_BAG_L2")[0].rho == 0.25
    assert predictor.predict_proba(new, model="CFEnsemble_BAG_L2").shape == (len(new), n_classes)


def test_original_features_stay_out_even_where_they_are_asked_for(tmp_path):
    asked = {"ag_args_ensemble": {**BAGGED["ag_args_ensemble"], "use_orig_features": True}}
    predictor, _ = second_layer(2, tmp_path, {1: MODELS, 2: {CFEnsembleModel: asked}})
    assert "a" in predictor._trainer.load_model("CFEnsemble_BAG_L2").features
    assert inner_ensemble(predictor, "CFEnsemble_BAG_L2")[1] == predictor.model_names(level=1)


def test_weights_of_rows_reach_the_second_layer(tmp_path):
    """Weighted, class "cat" is ten elevenths of the rows, and so are its predictions; without the
    weights the ensemble would bring them back to a half.
    """
    train, _ = table(2)
    train = train.assign(w=np.where(train["kind"] == "cat", 10.0, 1.0))
    predictor = tabular.TabularPredictor("kind", path=str(tmp_path), verbosity=0, sample_weight="w")
    predictor.fit(
        train, hyperparameters={**MODELS, CFEnsembleModel: {}}, num_cpus=1, num_gpus=0, **STACKED
    )
    P = predictor.predict_proba(train, model="CFEnsemble_BAG_L2")
    weighted = np.average(train["kind"] == "cat", weights=train["w"])
    assert np.average(P["cat"], weights=train["w"]) == pytest.approx(weighted, abs=0.04)
