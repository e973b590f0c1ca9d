"""CFEnsemble as users meet it: invariances of fit and prediction, missing cells, small shapes,
documentation.
"""

import copy
import inspect
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import average_precision_score

from cfens_stack import CFEnsemble, CFEnsembleTrainer
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.link import invert_link

SETTINGS = {
    "defaults": {},
    "few factors": {"latent_dim": 3},
    "certainty": {"confidence": "certainty", "latent_dim": 3},
    "everything on": {
        "link": "identity",
        "confidence": "calibration",
        "use_label_aware_confidence": True,
        "use_class_weights": True,
        "focal_gamma": 2.0,
        "nonnegative": False,
    },
    "plain average": {"aggregator": "mean"},
}
every_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


@pytest.fixture(scope="module")
def data():
    return make_predictions(400, 8, weights=[0.85, 0.15], missing=0.15, random_state=0)


@pytest.fixture(scope="module")
def three_classes():
    return make_predictions(400, 5, n_classes=3, missing=0.15, random_state=0)


def exact(**settings):
    """Converged as far as rounding allows, so that only the optimum counts and not the way
    there.
    """
    return CFEnsemble(**{"tol": 1e-13, "max_iter": 3000, **settings})


@every_setting
def test_a_row_does_not_depend_on_its_batch(data, settings):
    meta = CFEnsemble(**settings).fit(data.R, data.y)
    for method in (meta.predict_proba, meta.transform, meta.reconstruct):
        batch = method(data.R)
        single = np.vstack([method(row[None]) for row in data.R[:40]])
        np.testing.assert_allclose(single, batch[:40], rtol=1e-9, atol=1e-12)
        order = np.random.default_rng(0).permutation(len(data.R))
        np.testing.assert_allclose(method(data.R[order]), batch[order], rtol=1e-9, atol=1e-12)


def test_large_batches_are_predicted_in_blocks(data):
    meta = CFEnsemble().fit(data.R, data.y)
    many = np.tile(data.R, (60, 1))
    np.testing.assert_allclose(
        meta.predict_proba(many), np.tile(meta.predict_proba(data.R), (60, 1)), atol=1e-12
    )


@every_setting
def test_the_order_of_rows_does_not_matter(data, settings):
    order = np.random.default_rng(0).permutation(len(data.R))
    one, other = (
        exact(**settings).fit(data.R, data.y),
        exact(**settings).fit(data.R[order], data.y[order]),
    )
    np.testing.assert_allclose(other.predict_proba(data.R), one.predict_proba(data.R), atol=1e-6)
    np.testing.assert_allclose(other.coef_, one.coef_, atol=1e-5)


@every_setting
def test_the_order_of_models_does_not_matter(data, settings):
    order = np.random.default_rng(0).permutation(8)
    one, other = (
        exact(**settings).fit(data.R, data.y),
        exact(**settings).fit(data.R[:, order], data.y),
    )
    np.testing.assert_allclose(
        other.predict_proba(data.R[:, order]), one.predict_proba(data.R), atol=1e-6
    )
    np.testing.assert_allclose(other.coef_, one.coef_[order], atol=1e-5)
    np.testing.assert_allclose(other.classifier_factors_, one.classifier_factors_[order], atol=1e-3)


@every_setting
def test_a_row_twice_is_a_row_of_weight_2(data, settings):
    """In centring, confidence, factors, aggregator, evidence and class weights alike; weight 0 is
    no row.
    """
    v = np.random.default_rng(0).integers(0, 4, len(data.R))
    copies = np.repeat(np.arange(len(data.R)), v)
    weighted = exact(**settings).fit(data.R, data.y, sample_weight=v)
    repeated = exact(**settings).fit(data.R[copies], data.y[copies])
    np.testing.assert_allclose(
        weighted.predict_proba(data.R), repeated.predict_proba(data.R), atol=1e-6
    )
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-5)


def test_several_classes_share_these_invariances(three_classes):
    R, y = three_classes.R, three_classes.y
    v = np.random.default_rng(0).integers(0, 3, len(R))
    copies = np.repeat(np.arange(len(R)), v)
    models = np.random.default_rng(1).permutation(5)
    columns = (3 * models[:, None] + np.arange(3)).ravel()
    meta = exact(use_class_weights=True).fit(R, y, sample_weight=v)
    repeated = exact(use_class_weights=True).fit(R[copies], y[copies])
    reordered = exact(use_class_weights=True).fit(R[:, columns], y, sample_weight=v)
    # The objective is flat enough for sweeps to end in rounding with 1e-5 left in X X'.
    np.testing.assert_allclose(repeated.predict_proba(R), meta.predict_proba(R), atol=1e-5)
    np.testing.assert_allclose(
        reordered.predict_proba(R[:, columns]), meta.predict_proba(R), atol=1e-5
    )
    np.testing.assert_allclose(meta.predict_proba(R[:1]), meta.predict_proba(R)[:1], atol=1e-12)


@every_setting
def test_a_model_without_any_prediction_is_ignored_with_a_warning(data, settings):
    R = np.insert(data.R, 3, np.nan, axis=1)
    expected = CFEnsemble(**settings).fit(data.R, data.y)
    with pytest.warns(
        UserWarning, match=r"Columns \[3\] of R have no prediction in any row and are ignored"
    ):
        meta = CFEnsemble(**settings).fit(R, data.y)
    np.testing.assert_allclose(meta.predict_proba(R), expected.predict_proba(data.R), rtol=1e-12)
    assert meta.coef_[3] == 0.0
    assert not meta.classifier_factors_[3].any()
    assert np.isnan(meta.reconstruct(R)[:, 3]).all()
    R[:, 3] = 0.7  # a model back from the dead has no factors to be folded in with
    np.testing.assert_allclose(meta.predict_proba(R), expected.predict_proba(data.R), rtol=1e-12)


def test_the_warning_names_the_model(data):
    frame = pd.DataFrame(data.R, columns=[f"m{u}" for u in range(8)])
    frame["dead"] = np.nan
    with pytest.warns(UserWarning, match=r"Columns \['dead'\] of R"):
        CFEnsemble().fit(frame, data.y)


@every_setting
def test_rows_without_any_prediction_change_nothing(data, settings):
    R = np.vstack([np.full((1, 8), np.nan), data.R, np.full((2, 8), np.nan)])
    y = np.concatenate([[1], data.y, [0, 1]])
    one, other = CFEnsemble(**settings).fit(data.R, data.y), CFEnsemble(**settings).fit(R, y)
    np.testing.assert_allclose(other.predict_proba(data.R), one.predict_proba(data.R), rtol=1e-9)


@every_setting
def test_a_new_row_without_predictions_is_reconstructed_as_the_average_row(data, settings):
    meta = CFEnsemble(**settings).fit(data.R, data.y)
    empty = np.full((1, 8), np.nan)
    assert not meta.transform(empty).any()
    mean = invert_link(meta.column_means_[None], meta.link_, meta.smoothing, 1)[0]
    np.testing.assert_allclose(meta.reconstruct(empty)[0], mean, rtol=1e-12)
    published = CFEnsemble(**settings, uncertainty=False).fit(data.R, data.y)
    mean = invert_link(published.column_means_[None], published.link_, meta.smoothing, 1)[0]
    P = published.predict_proba(empty)
    np.testing.assert_allclose(P, published.predict_proba(mean[None]), rtol=1e-6)


def test_missing_cells_are_predicted_from_the_others(data):
    """Dropping a cell changes a row's probability a little, not to that of a filled-in constant."""
    meta = CFEnsemble().fit(data.R, data.y)
    full = meta.predict_proba(np.nan_to_num(data.R, nan=0.0))[:, 1]
    with_gaps = meta.predict_proba(data.R)[:, 1]
    assert average_precision_score(data.y, with_gaps) > average_precision_score(data.y, full)


@pytest.mark.parametrize("rows", [2, 3, 10])
def test_few_rows(rows):
    y = np.arange(rows) % 2
    R = np.where(y[:, None] == 1, 0.8, 0.3) + np.linspace(0, 0.1, 3)
    meta = CFEnsemble().fit(R, y)
    P = meta.predict_proba(R)
    assert np.isfinite(P).all()
    assert np.all(P[y == 1, 1] > P[y == 0, 1].max())


@pytest.mark.parametrize(
    "settings", [{}, {"latent_dim": 1}, {"link": "identity"}, {"aggregator": "mean"}], ids=str
)
def test_one_model(settings):
    data = make_predictions(300, 1, missing=0.1, random_state=0)
    meta = CFEnsemble(**settings).fit(data.R, data.y)
    assert meta.classifier_factors_.shape == (1, 1)
    known = np.isfinite(data.R[:, 0])
    r, p = data.R[known, 0], meta.predict_proba(data.R)[known, 1]
    assert np.all(np.diff(p[r.argsort()]) >= 0)
    assert np.ptp(p) > 0.2


@pytest.mark.parametrize("latent_dim", [8, 9, 500])
def test_rank_above_the_number_of_models_is_capped(data, latent_dim):
    meta = CFEnsemble(latent_dim=latent_dim).fit(data.R, data.y)
    assert meta.classifier_factors_.shape == (8, 8)
    assert meta.latent_dim == latent_dim


def test_constant_and_identical_models():
    data = make_predictions(300, 3, random_state=0)
    R = np.column_stack([data.R, data.R[:, :1], np.full(300, 0.1)])
    meta = CFEnsemble().fit(R, data.y)
    assert np.isfinite(meta.predict_proba(R)).all()
    assert meta.coef_[0] == pytest.approx(meta.coef_[3], abs=1e-6)
    constant = CFEnsemble().fit(np.full((50, 3), 0.2), np.arange(50) % 5 == 0)
    np.testing.assert_allclose(constant.predict_proba([[0.2] * 3])[:, 1], 0.2, atol=1e-3)


def test_probabilities_of_exactly_0_and_1():
    y = np.arange(100) % 2
    R = np.column_stack([y, y, 1.0 - y])
    meta = CFEnsemble().fit(R, y)
    P = meta.predict_proba(R)
    assert np.isfinite(P).all()
    assert np.all(meta.predict(R) == y)


def test_scores_outside_the_unit_interval_are_learnt_in_either_direction():
    """Nobody has said that a larger score is likelier positive, nor in which unit it is."""
    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.3).astype(int)
    R = np.column_stack(
        [-1000 * y + 300 * rng.standard_normal(500), 0.01 * y + 0.01 * rng.standard_normal(500)]
    )
    meta = CFEnsemble().fit(R, y)
    assert (meta.layout_, meta.link_) == ("scores", "identity")
    assert meta.coef_[0] < 0
    assert average_precision_score(y, meta.predict_proba(R)[:, 1]) > 0.9


def test_probabilities_change_little_between_links():
    data = make_predictions(800, 6, random_state=0)
    P = [
        CFEnsemble(link=link).fit(data.R, data.y).predict_proba(data.R)[:, 1]
        for link in ("logit", "identity")
    ]
    assert np.abs(P[0] - P[1]).mean() < 0.05


@every_setting
def test_fit_leaves_parameters_and_data_alone(data, settings):
    meta = CFEnsemble(**settings)
    before = copy.deepcopy(meta.get_params())
    R, y, v = data.R.copy(), data.y.copy(), np.ones(len(data.y))
    for array in (R, y, v):
        array.flags.writeable = False
    meta.fit(R, y, sample_weight=v)
    meta.predict_proba(R)
    assert meta.get_params() == before
    np.testing.assert_array_equal(R, data.R)


def test_refit_starts_clean(data, three_classes):
    """Including another number of models, of classes, a name less."""
    meta = CFEnsemble().fit(
        pd.DataFrame(three_classes.R, columns=[f"c{j}" for j in range(15)]), three_classes.y
    )
    meta.fit(data.R, data.y)
    fresh = clone(meta).fit(data.R, data.y)
    assert vars(meta).keys() == vars(fresh).keys()
    np.testing.assert_array_equal(meta.predict_proba(data.R), fresh.predict_proba(data.R))


def test_no_global_random_state_is_used(data):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one = CFEnsemble(random_state=1).fit(data.R, data.y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    other = CFEnsemble(random_state=2).fit(data.R, data.y)
    np.testing.assert_array_equal(one.coef_, other.coef_)


def test_nothing_is_printed(data, capfd):
    CFEnsemble(use_class_weights=True, focal_gamma=2.0).fit(data.R, data.y).predict(data.R)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("cls", [CFEnsemble, CFEnsembleTrainer])
def test_pickle_round_trip(data, cls):
    meta = cls().fit(data.R, data.y)
    again = pickle.loads(pickle.dumps(meta))
    np.testing.assert_array_equal(again.predict_proba(data.R), meta.predict_proba(data.R))


@pytest.mark.parametrize(
    "convert",
    [np.asfortranarray, lambda R: R.astype(np.float32), lambda R: R.tolist(), pd.DataFrame],
)
def test_containers_and_precision_of_the_input(data, convert):
    expected = CFEnsemble().fit(data.R, data.y).predict_proba(data.R)
    meta = CFEnsemble().fit(convert(data.R), data.y)
    np.testing.assert_allclose(meta.predict_proba(convert(data.R)), expected, atol=1e-5)


def test_integer_predictions():
    """Votes of models that only predict classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    R = np.where(rng.random((200, 5)) < 0.8, y[:, None], 1 - y[:, None])
    assert CFEnsemble().fit(R, y).score(R, y) > 0.85


def test_names_of_models_and_of_factors(data):
    frame = pd.DataFrame(data.R, columns=[f"m{u}" for u in range(8)])
    meta = CFEnsemble(latent_dim=2).fit(frame, data.y)
    assert meta.feature_names_in_.tolist() == list(frame.columns)
    assert meta.get_feature_names_out().tolist() == ["cfensemble0", "cfensemble1"]
    assert meta.set_output(transform="pandas").transform(frame).columns.tolist() == [
        "cfensemble0",
        "cfensemble1",
    ]


def test_predicted_class_is_the_most_probable(three_classes):
    y = np.array(["x", "y", "z"])[three_classes.y]
    meta = CFEnsemble().fit(three_classes.R, y)
    P = meta.predict_proba(three_classes.R)
    np.testing.assert_array_equal(meta.predict(three_classes.R), meta.classes_[P.argmax(axis=1)])
    assert meta.coef_.shape == (3, 15)
    assert meta.intercept_.shape == (3,)


@every_setting
def test_probability_is_what_equation_6_says(data, settings):
    """sigmoid(w . r_hat + b) of the reconstruction on the link scale, before the posterior
    correction, for complete rows.
    """
    meta = CFEnsemble(**settings, posterior="weighted").fit(data.R, data.y)
    R = np.where(np.isfinite(data.R), data.R, 0.4)
    reconstruction = (
        meta.column_means_ + meta.scale_ * meta.transform(R) @ meta.classifier_factors_.T
    )
    score = reconstruction @ meta.coef_ + meta.intercept_
    np.testing.assert_allclose(meta.predict_proba(R)[:, 1], 1 / (1 + np.exp(-score)), rtol=1e-9)


@pytest.mark.parametrize("cls", [CFEnsemble])
def test_documented_defaults_are_the_defaults(cls):
    section = re.search(
        r"Parameters\n\s+-+\n(.*?)\n\s*\n\s+Attributes\n", inspect.getdoc(cls) + "\n", re.S
    )
    text = section.group(1) if section else inspect.getdoc(cls)
    documented = dict(re.findall(r"^(\w+) : .*?default=(\S+)$", text, re.M))
    actual = {
        name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()
    }
    assert documented.keys() == actual.keys()
    for name, value in documented.items():
        expected = actual[name]
        assert value == (f'"{expected}"' if isinstance(expected, str) else repr(expected)), name


def test_the_trainer_has_the_defaults_of_the_ensemble():
    ensemble = inspect.signature(CFEnsemble).parameters
    for name, parameter in inspect.signature(CFEnsembleTrainer).parameters.items():
        if name != "n_classifiers":
            assert parameter.default == ensemble[name].default, name


def test_a_class_that_a_model_never_saw_is_reconstructed_as_impossible():
    data = make_predictions(n_samples=300, n_models=4, n_classes=3, random_state=0)
    R = data.R.copy()
    R[:, 2] = np.nan
    R[:, :2] /= R[:, :2].sum(axis=1, keepdims=True)
    R_hat = CFEnsemble().fit(R, data.y).reconstruct(R)
    assert not R_hat[:, 2].any()
    np.testing.assert_allclose(R_hat[:, :2].sum(axis=1), 1.0)
    np.testing.assert_allclose(R_hat[:, :2], np.clip(R[:, :2], 0.01, 0.99), atol=0.1)


def test_training_parameters_set_after_fit_change_nothing_before_the_next_fit():
    data = make_predictions(n_samples=200, n_models=4, random_state=0)
    model = CFEnsemble(focal_gamma=2.0, confidence="certainty").fit(data.R, data.y)
    before = model.predict_proba(data.R)
    model.set_params(
        focal_gamma=0.0, confidence="uniform", smoothing=0.3, aggregator="mean", link="identity"
    )
    np.testing.assert_array_equal(model.predict_proba(data.R), before)


def test_n_classifiers_counts_models_not_columns():
    data = make_predictions(n_samples=200, n_models=4, n_classes=3, random_state=0)
    assert CFEnsembleTrainer(n_classifiers=4).fit(data.R, data.y).classifier_factors_.shape[0] == 12
