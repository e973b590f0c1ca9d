"""The ensembler and the reader, on files that the test writes and, where it is installed, in
TabArena itself.
"""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from documents import blocks_in, read, run
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, roc_auc_score

from cfens_stack import CFEnsemble, CFEnsembleSearch
from cfens_stack.datasets import make_predictions
from cfens_stack.plugins.tabarena import TabArenaEnsembler
from cfens_stack.plugins.tabrepo_files import list_tasks, prediction_matrix, read_task

MODELS = [
    "NeuralNetFastAI_r1",
    "NeuralNetFastAI_r2",
]  # the names that TabArena's artificial context knows


def generated(n_classes, n=400, m=2):
    """Predictions (m, n) or (m, n, K), and labels."""
    data = make_predictions(n, m, n_classes=n_classes, random_state=0)
    P = data.R.T if n_classes == 2 else data.R.reshape(n, m, n_classes).transpose(1, 0, 2)
    return np.ascontiguousarray(P), data.y


def halves(n_classes, **settings):
    P, y = generated(n_classes, **settings)
    return (P[:, ::2], y[::2]), (P[:, 1::2], y[1::2])


def write_task(folder, splits, models, dtype="float32"):
    folder.mkdir(parents=True)
    metadata = {
        "models": models,
        "dataset": folder.parent.name,
        "fold": int(folder.name),
        "dtype": dtype,
    }
    for split, (P, y) in splits.items():
        metadata[f"pred_{split}_shape"] = P.shape
        P.astype(dtype).tofile(folder / f"pred-{split}.dat")
        pd.Series(y, index=np.arange(len(y)) + 50, name="y").to_csv(
            folder / f"label-{split}.csv.zip", index=True
        )
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return folder


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_reads_what_is_written(tmp_path, n_classes, dtype):
    val, test = halves(n_classes)
    folder = write_task(tmp_path / "adult" / "0", {"val": val, "test": test}, MODELS, dtype)
    write_task(tmp_path / "car" / "1", {"val": val, "test": test}, MODELS, dtype)
    (tmp_path / "metadata.json").write_text("{}")  # of a repository; no task
    assert list_tasks(tmp_path) == [folder, tmp_path / "car" / "1"]
    for split, (P, y) in {"val": val, "test": test}.items():
        table = read_task(folder, split)
        np.testing.assert_array_equal(table.R, prediction_matrix(P.astype(dtype)))
        np.testing.assert_array_equal(table.y, y)
        assert len(table.model_names) == table.R.shape[1]
    one = read_task(folder, "val", models=MODELS[1:])
    np.testing.assert_array_equal(one.R, prediction_matrix(val[0].astype(dtype)[1:]))
    assert one.model_names == (
        [MODELS[1]] if n_classes == 2 else [f"{MODELS[1]}={k}" for k in range(3)]
    )
    assert CFEnsemble().fit(one.R, one.y).layout_ == (
        "positive" if n_classes == 2 else "model-major"
    )


def test_two_columns_of_two_classes_and_no_labels(tmp_path):
    P, y = generated(2)
    folder = write_task(
        tmp_path / "adult" / "0", {"val": (np.stack([1 - P, P], axis=2), y)}, MODELS
    )
    (folder / "label-val.csv.zip").unlink()
    table = read_task(folder)
    np.testing.assert_array_equal(table.R, P.T.astype("float32"))
    assert table.y is None
    assert table.model_names == MODELS


def test_what_does_not_fit_is_refused(tmp_path):
    val, test = halves(3)
    folder = write_task(tmp_path / "adult" / "0", {"val": val, "test": test}, MODELS)
    with pytest.raises(ValueError, match="'holdout'"):
        read_task(folder, "holdout")
    with pytest.raises(ValueError, match="no predictions of"):
        read_task(folder, models=["nobody"])
    with pytest.raises(FileNotFoundError, match=r"metadata\.json"):
        read_task(tmp_path)
    with (folder / "pred-val.dat").open("ab") as file:
        file.write(b"xxxx")
    with pytest.raises(ValueError, match="bytes"):
        read_task(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": [*MODELS, "third"]}, r"states 3 models and predictions of shape \(2, 200\)"),
        ({"dtype": "object"}, "type object; expected are floats"),
        ({"dtype": "floaty"}, "does not state models, pred_val_shape and dtype"),
        ({"pred_val_shape": [2, 5, 3, 1]}, "expected are floats of shape"),
        ({"models": None}, "does not state models"),
    ],
)
def test_metadata_that_the_files_do_not_fit(tmp_path, change, message):
    """More models than rows of the array once ended in an IndexError, fewer in other models' rows."""
    val, test = halves(2)
    folder = write_task(tmp_path / "adult" / "0", {"val": val, "test": test}, MODELS)
    metadata = json.loads((folder / "metadata.json").read_text()) | change
    (folder / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match=message):
        read_task(folder)


def test_labels_of_other_rows_are_refused(tmp_path):
    (P, y), test = halves(2)
    folder = write_task(tmp_path / "adult" / "0", {"val": (P, y[:-1]), "test": test}, MODELS)
    with pytest.raises(ValueError, match="199 labels for 200 rows of predictions"):
        read_task(folder)
    assert read_task(folder, "test", models=MODELS[0]).model_names == MODELS[:1]


def test_ensembler_takes_class_codes_only():
    (P, y), (P_new, _) = halves(2, m=4)
    ensembler = TabArenaEnsembler(problem_type="binary")
    with pytest.raises(NotFittedError, match="call fit first"):
        ensembler.predict_proba(P_new)
    for labels in (y + 1, np.array(["a", "b"])[y]):
        with pytest.raises(ValueError, match="pass class codes 0 to 1, NaN where unknown"):
            ensembler.fit(P, labels)
    unknown = np.array([None, *y[1:].tolist()], dtype=object)
    p = ensembler.fit(P, unknown).predict_proba(P_new)
    np.testing.assert_array_equal(p, ensembler.fit(P, np.r_[np.nan, y[1:]]).predict_proba(P_new))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_ensembler_is_the_ensemble_on_the_matrix(n_classes):
    (P, y), (P_new, y_new) = halves(n_classes, m=4)
    ensembler = TabArenaEnsembler(
        problem_type="binary" if n_classes == 2 else "multiclass",
        ensemble=CFEnsemble(rho=0.25),
        ensemble_size=100,
    ).fit(predictions=P, labels=y)
    alone = CFEnsemble(rho=0.25, layout=ensembler.ensemble_.layout).fit(prediction_matrix(P), y)
    expected = alone.predict_proba(prediction_matrix(P_new))
    expected = expected[:, 1] if n_classes == 2 else expected
    np.testing.assert_array_equal(ensembler.predict_proba(P_new), expected)
    assert ensembler.predict_proba(P_new).shape == P_new.shape[1:]
    assert len(ensembler.models_used()) == len(ensembler.weights_) == 4
    assert np.mean(ensembler.predict(P_new) == y_new) > 0.7


@pytest.mark.parametrize("estimator", [None, CFEnsemble()], ids=["no template", "template"])
def test_search_as_ensemble(estimator):
    P, y = generated(2, m=4)
    search = CFEnsembleSearch(n_trials=2, cv=2, estimator=estimator, random_state=0)
    ensembler = TabArenaEnsembler(problem_type="binary", ensemble=search).fit(P, y)
    assert ensembler.ensemble_.best_estimator_.layout_ == "positive"
    assert np.mean(ensembler.predict(P) == y) > 0.7


def test_a_class_without_a_label_has_probability_zero():
    P, y = generated(3, m=4)
    seen = y != 1
    ensembler = TabArenaEnsembler(problem_type="multiclass").fit(P[:, seen], y[seen])
    proba = ensembler.predict_proba(P)
    assert not proba[:, 1].any()
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert np.mean(ensembler.predict(P)[seen] == y[seen]) > 0.7


def test_regression_is_refused():
    with pytest.raises(ValueError, match="'regression'"):
        TabArenaEnsembler(problem_type="regression")


@pytest.mark.filterwarnings("ignore")  # what the toolkit warns of is not ours to mend
@pytest.mark.parametrize(("n_classes", "metric"), [(2, "roc_auc"), (3, "log_loss")])
def test_in_the_simulation_of_tabarena(tmp_path, n_classes, metric):
    """TabArena writes its files, which we read, and scores the ensembler as one of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tabarena", reason="tabarena is not installed")
        from tabarena.predictions import TabularPredictionsMemmap
        from tabarena.repository import EvaluationRepository
        from tabarena.simulation.context_artificial import load_context_artificial
        from tabarena.simulation.ensemble_selection_config_scorer import EnsembleScorer
        from tabarena.simulation.ground_truth import GroundTruth

    (P, y), (P_new, y_new) = halves(n_classes)
    task = {"pred_proba_dict_val": dict(zip(MODELS, P, strict=True))}
    task["pred_proba_dict_test"] = dict(zip(MODELS, P_new, strict=True))
    predictions = TabularPredictionsMemmap.from_dict({"ada": {0: task}}, output_dir=str(tmp_path))
    labels = GroundTruth({"ada": {0: pd.Series(y)}}, {"ada": {0: pd.Series(y_new)}})
    labels.to_data_dir(str(tmp_path))

    (folder,) = list_tasks(tmp_path)
    table, new = read_task(folder), read_task(folder, "test")
    np.testing.assert_array_equal(table.y, y)
    expected = CFEnsemble(layout="positive" if n_classes == 2 else "model-major").fit(
        table.R, table.y
    )
    P_expected = expected.predict_proba(new.R)
    error = (
        1 - roc_auc_score(new.y, P_expected[:, 1])
        if n_classes == 2
        else log_loss(new.y, P_expected)
    )

    problem_type = "binary" if n_classes == 2 else "multiclass"
    context = load_context_artificial(n_classes=n_classes, problem_type=problem_type)[0]
    scorer = EnsembleScorer(
        EvaluationRepository(
            zeroshot_context=context, tabular_predictions=predictions, ground_truth=labels
        ),
        {"ada": {"metric": metric, "problem_type": problem_type}},
        ensembler_cls=TabArenaEnsembler,
        use_fast_metrics=False,
    )
    results = scorer.evaluate_task("ada", 0, MODELS)
    assert results["metric_error"] == pytest.approx(error, abs=1e-6)
    assert all(results["ensemble_models_used"])


@pytest.mark.filterwarnings("ignore")  # what the toolkit warns of is not ours to mend
@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_evaluate_ensemble_of_a_repository(metric):
    """The call of docs/plugins.md, on a repository of what `predictor.simulation_artifact` gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tabarena", reason="tabarena is not installed")
        from tabarena.repository import EvaluationRepository

    (P, y), (P_new, y_new) = halves(2)
    artifact = {
        "pred_proba_dict_val": dict(zip(MODELS, P, strict=True)),
        "pred_proba_dict_test": dict(zip(MODELS, P_new, strict=True)),
        "y_val": pd.Series(y),
        "y_test": pd.Series(y_new),
        "ordered_class_labels": [0, 1],
        "ordered_class_labels_transformed": [0, 1],
        "num_classes": 2,
        "label": "label",
        "eval_metric": metric,
        "problem_type": "binary",
        "problem_type_transform": "binary",
    }
    stated = {"dataset": "mine", "fold": 0, "metric": metric, "problem_type": "binary"}
    unused = ["metric_error", "metric_error_val", "time_train_s", "time_infer_s"]
    configs = [stated | {"framework": model} | dict.fromkeys(unused, 1.0) for model in MODELS]
    repo = EvaluationRepository.from_raw(
        df_configs=pd.DataFrame(configs),
        results_lst_simulation_artifacts=[{"mine": {0: artifact}}],
        task_metadata=pd.DataFrame({"dataset": ["mine"]}),
    )
    section = read("docs/plugins.md").split("## TabArena and TabRepo")[1]
    names = {"repo": repo, "dataset": "mine", "fold": 0, "configs": MODELS}
    run("docs/plugins.md", blocks_in(section)[0], names)
    P_expected = CFEnsemble(layout="positive").fit(P.T, y).predict_proba(P_new.T)
    error = 1 - roc_auc_score(y_new, P_expected[:, 1])
    error = error if metric == "roc_auc" else log_loss(y_new, P_expected)
    assert names["result"]["metric_error"].iloc[0] == pytest.approx(error, abs=1e-6)
