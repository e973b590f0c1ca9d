"""A fit on row partitions is the fit on all rows."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone

from cfens_stack import CFEnsemble, CFEnsemblePyTorchTrainer, CFEnsembleTrainer
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble import engines, labelled_factors
from cfens_stack.ensemble.partitions import fit_partitions

STATE = ("classifier_factors_", "coef_", "intercept_", "column_means_", "scale_", "aggregator_reg_")
CUTS = [130, 131, 131, 400]  # parts of unlike size, one of a single row, one empty


def rows(missing=0.2, n_classes=2, unlabelled=True):
    data = make_predictions(n_samples=600, n_models=8, missing=missing, random_state=0)
    y = data.y.astype(float)
    if unlabelled:
        y[::7] = np.nan
    return data.R, y


def three_classes():
    rng = np.random.default_rng(0)
    y = rng.choice(3, size=600, p=[0.6, 0.3, 0.1])
    logits = 2.0 * np.eye(3)[y][:, None, :] + rng.standard_normal((600, 5, 3))
    P = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    P[rng.random((600, 5)) < 0.2] = np.nan
    return P.reshape(600, 15), y


def assert_same_fit(model, whole, R):
    for name in STATE:
        assert_allclose(
            getattr(model, name), getattr(whole, name), rtol=1e-8, atol=1e-8, err_msg=name
        )
    assert_allclose(model.predict_proba(R), whole.predict_proba(R), rtol=0, atol=1e-8)
    assert model.n_iter_ == whole.n_iter_


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"latent_dim": 3, "use_label_aware_confidence": True, "rho": 0.3},
        {"latent_dim": 3, "link": "identity", "confidence": "certainty"},
        {"latent_dim": 3, "confidence": "calibration", "use_label_aware_confidence": False},
        {"use_class_weights": True, "focal_gamma": 2.0, "aggregator_reg": 10.0},
        {"use_class_weights": True, "latent_dim": 4},
        {"aggregator": "mean"},
        {"layout": "scores"},
    ],
)
def test_partitions_give_the_fit_on_all_rows(params, missing):
    R, y = rows(missing)
    weights = np.random.default_rng(1).integers(0, 3, len(R)).astype(float)
    whole = CFEnsemble(**params).fit(R, y, sample_weight=weights)
    model = fit_partitions(CFEnsemble(**params), np.split(R, CUTS), y, sample_weight=weights)
    assert_same_fit(model, whole, R)


def test_partitions_are_swept_in_float32_where_that_is_wanted():
    R, y = rows(0.2)
    model, double = (
        fit_partitions(CFEnsemble(dtype=dtype), np.split(R, CUTS), y)
        for dtype in ("float32", "float64")
    )
    whole = CFEnsemble(dtype="float32").fit(R, y)
    assert_allclose(model.predict_proba(R), whole.predict_proba(R), rtol=0, atol=1e-5)
    assert np.abs(model.classifier_factors_ - double.classifier_factors_).max() > 1e-9


@pytest.mark.parametrize("link", ["logit", "identity"])
def test_three_classes(link):
    R, y = three_classes()
    trainer = CFEnsembleTrainer(
        latent_dim=4, link=link, layout="model-major", use_label_aware_confidence=True
    )
    assert_same_fit(fit_partitions(trainer, np.split(R, CUTS), y), trainer.fit(R, y), R)


def test_model_without_predictions_in_some_partitions_or_all():
    R, y = rows(0.0, unlabelled=False)
    R[:200, 2] = np.nan
    R[:, 5] = np.nan
    with pytest.warns(UserWarning, match="have no prediction"):
        whole = CFEnsemble().fit(R, y)
    with pytest.warns(UserWarning, match="have no prediction"):
        model = fit_partitions(CFEnsemble(), np.split(R, CUTS), y)
    assert_same_fit(model, whole, R)


def test_what_cannot_be_fitted_says_so():
    R, y = rows()
    parts = np.split(R, CUTS)
    with pytest.raises(ValueError, match="needs all rows in one place"):
        fit_partitions(CFEnsemblePyTorchTrainer(instance_factors="free"), parts, y)
    with pytest.raises(ValueError, match="needs all rows in one place"):
        fit_partitions(CFEnsemble(confidence=lambda R, y: np.ones(R.shape)), parts, y)
    with pytest.raises(ValueError, match="600 rows, but y has 599"):
        fit_partitions(CFEnsemble(), parts, y[:-1])
    with pytest.raises(ValueError, match="same columns"):
        fit_partitions(CFEnsemble(), [R[:300], R[300:, :4]], y)
    with pytest.raises(ValueError, match="different names"):
        fit_partitions(CFEnsemble(), [pd.DataFrame(R[:300]).rename(columns=str), R[300:]], y)
    with pytest.raises(ValueError, match=r"R holds 1e\+200"):
        fit_partitions(CFEnsemble(), [R[:300], np.where(R[300:] > 0.9, 1e200, R[300:])], y)


@pytest.mark.filterwarnings("ignore:layout='auto' takes:UserWarning")
def test_a_layout_is_read_off_all_partitions():
    """Scores where one partition has them; pairs of columns only where they sum to 1 in all
    partitions.
    """
    R, y = rows(missing=0.0)
    scores, pairs = R.copy(), np.stack([R, 1 - R], axis=2).reshape(600, 16)
    scores[-1, 0], pairs[-1, 0] = 3.0, 0.9
    for whole, layout in [(scores, "scores"), (pairs, "positive")]:
        model = fit_partitions(CFEnsemble(latent_dim=3), [whole[:300], whole[300:]], y)
        assert model.layout_ == layout
        assert_same_fit(model, CFEnsemble(latent_dim=3).fit(whole, y), whole)


def test_names_of_columns_and_a_warning_of_small_weights_as_in_fit():
    R, y = rows()
    frame = pd.DataFrame(R).rename(columns="model {}".format)
    model = fit_partitions(CFEnsemble(), [frame[:300], frame[300:]], y)
    assert list(model.feature_names_in_) == list(frame.columns)
    with pytest.warns(UserWarning, match="sample_weight has mean 0.01"):
        fit_partitions(CFEnsemble(), [R], y, sample_weight=np.full(600, 0.01))


ESTIMATORS = {
    "CFEnsemble": CFEnsemble(),
    "ALS": CFEnsembleTrainer(latent_dim=3),
    "PyTorch": CFEnsemblePyTorchTrainer(latent_dim=3, max_iter=300),
}


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_memory_maps_are_fitted_by_blocks(kind, missing, monkeypatch, tmp_path):
    """float32 on disk: the same fit and predictions as from the same numbers in memory."""
    if kind == "PyTorch":
        pytest.importorskip("torch", reason="torch is not installed")
    R, y = rows(missing)
    np.save(tmp_path / "R.npy", R.astype(np.float32))
    on_disk = np.load(tmp_path / "R.npy", mmap_mode="r")
    inside = clone(ESTIMATORS[kind]).fit(np.array(on_disk), y)
    methods = ("predict_proba", "predict", "transform", "reconstruct")
    expected = {name: getattr(inside, name)(np.array(on_disk)) for name in methods}
    monkeypatch.setattr(engines, "BLOCK_BYTES", 100 * 8 * R.shape[1])
    model = clone(inside).fit(pd.DataFrame(R).rename(columns=str), y).fit(on_disk, y)
    assert not hasattr(model, "feature_names_in_")
    tolerance = 1e-8 if kind != "PyTorch" else 1e-5  # a line search may end elsewhere in rounding
    P = model.predict_proba(on_disk)
    assert_allclose(P, inside.predict_proba(on_disk), rtol=0, atol=tolerance)
    for name, values in expected.items():
        assert_allclose(getattr(inside, name)(on_disk), values, rtol=1e-10, atol=1e-12)


def test_arrays_in_memory_are_copied_only_while_they_fit_into_it(monkeypatch):
    R, y = rows()
    assert not engines.too_large_to_copy(R)
    whole = CFEnsemble().fit(R, y)
    monkeypatch.setattr(engines, "memory_bytes", lambda: 20 * R.nbytes // 4)
    assert engines.too_large_to_copy(R)
    assert_same_fit(CFEnsemble().fit(R, y), whole, R)


def test_what_needs_all_rows_reads_a_memory_map_whole(monkeypatch, tmp_path):
    R, y = rows(0.0)
    np.save(tmp_path / "R.npy", R)
    on_disk = np.load(tmp_path / "R.npy", mmap_mode="r")
    seen = []

    def confidence(R, y):
        seen.append(len(R))
        return np.ones(R.shape)

    CFEnsemble(confidence=confidence).fit(on_disk, y)
    assert seen[0] == len(R)


def test_a_refused_fit_by_blocks_leaves_the_estimator_as_it_was(monkeypatch):
    R, y = rows()
    model = CFEnsemble().fit(R, y)
    before = model.__dict__.copy()
    monkeypatch.setattr(engines, "memory_bytes", lambda: 0)
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.where(np.arange(600)[:, None] == 500, np.inf, R), y)
    assert model.__dict__ == before


def test_a_start_from_a_sample_of_rows_does_not_show(monkeypatch):
    """From 65536 labelled rows on; here from 80."""
    R, y = rows(missing=0.1)
    whole = CFEnsemble().fit(R, y)
    monkeypatch.setattr(labelled_factors, "START_ROWS", 20)
    for model in (CFEnsemble().fit(R, y), fit_partitions(CFEnsemble(), np.split(R, CUTS), y)):
        assert not np.array_equal(model.history_["supervision"], whole.history_["supervision"])
        assert_allclose(model.coef_, whole.coef_, rtol=1e-4)
        assert_allclose(model.predict_proba(R), whole.predict_proba(R), rtol=0, atol=1e-5)
