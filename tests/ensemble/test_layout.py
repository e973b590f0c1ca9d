"""Which model and class each column belongs to, equation (8): detection, reordering, errors."""

import warnings

import numpy as np
import pytest

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.layout import find_layout


def model_major(K, m=4, n=30, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(K), (n, m)).reshape(n, m * K)


def class_major(R, K):
    return R.reshape(len(R), -1, K).transpose(0, 2, 1).reshape(len(R), -1)


def test_single_columns_of_two_classes():
    R = np.random.default_rng(0).random((30, 6))
    layout = find_layout(R, 2, "auto")
    assert (layout.kind, layout.n_outputs) == ("positive", 1)
    np.testing.assert_array_equal(layout.columns, np.arange(6))
    np.testing.assert_array_equal(layout.column_classes(), np.ones(6))


@pytest.mark.parametrize("order", ["model-major", "class-major"])
@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_both_columns_of_two_classes_reduce_to_the_second(order, missing):
    """mlxtend and TPOT pass both; the first repeats the second."""
    R = model_major(2)
    rng = np.random.default_rng(1)
    R[np.repeat(rng.random((30, 4)) < missing, 2, axis=1)] = np.nan
    given = R if order == "model-major" else class_major(R, 2)
    layout = find_layout(given, 2, "auto")
    assert layout.kind == "positive"
    np.testing.assert_array_equal(given[:, layout.columns], R[:, 1::2])


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("order", ["model-major", "class-major"])
@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_columns_of_three_classes_end_up_model_major(order, missing, stated):
    R = model_major(3)
    R[np.repeat(np.random.default_rng(1).random((30, 4)) < missing, 3, axis=1)] = np.nan
    given = R if order == "model-major" else class_major(R, 3)
    layout = find_layout(given, 3, order if stated else "auto")
    assert (layout.kind, layout.n_outputs) == ("model-major", 3)
    np.testing.assert_array_equal(given[:, layout.columns], R)
    np.testing.assert_array_equal(layout.column_classes(), [0, 1, 2] * 4)


def test_float32_and_rounded_tables_still_sum_to_one():
    assert (
        find_layout(model_major(3).astype(np.float32).astype(float), 3, "auto").kind
        == "model-major"
    )
    assert find_layout(model_major(3).round(4), 3, "auto").kind == "model-major"


def test_one_model_is_not_ambiguous():
    """Model by model and class by class are then the same order."""
    assert find_layout(model_major(3, m=1), 3, "auto").kind == "model-major"


@pytest.mark.parametrize("K", [2, 3])
def test_identical_models_can_be_read_both_ways(K):
    R = np.tile(model_major(K, m=1), K + 1)
    with pytest.raises(
        ValueError,
        match=r"layout='auto' is ambiguous: the \d+ columns .* Pass layout='model-major'",
    ):
        find_layout(R, K, "auto")
    assert find_layout(R, K, "class-major").n_outputs == K


@pytest.mark.filterwarnings("ignore:layout='auto' takes:UserWarning")
@pytest.mark.parametrize("value", [-0.1, 1.2, 40.0])
def test_values_outside_the_unit_interval_are_scores(value):
    R = model_major(2)
    R[4, 1] = value
    assert find_layout(R, 2, "auto").kind == "scores"


@pytest.mark.parametrize("K", [2, 3])
def test_features_among_the_predictions_are_refused(K):
    """What StackingClassifier(passthrough=True) passes: predictions first, then the features."""
    R = np.hstack([model_major(K), np.random.default_rng(1).normal(size=(30, 2))])
    found = (
        f"2 of the {4 * K + 2} columns have values outside \\[0, 1\\], the first at index {4 * K}, while {4 * K} look "
        "like probabilities.*passthrough=False"
    )
    with pytest.raises(ValueError, match=found):
        find_layout(R, K, "auto")


def test_scores_alone_or_stated_bring_no_warning():
    scores = np.random.default_rng(1).normal(size=(30, 3))
    scores[:, 2] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_layout(scores, 2, "auto")
        find_layout(np.hstack([model_major(2), scores]), 2, "scores")


def test_three_classes_without_groups_are_scores_with_a_warning():
    R = np.random.default_rng(0).random((30, 6))
    with pytest.warns(UserWarning, match="no groups of 3 columns that sum to 1 among the 6"):
        layout = find_layout(R, 3, "auto")
    assert (layout.kind, layout.n_outputs) == ("scores", 1)


def test_two_models_that_sum_to_1_by_chance_are_no_mirrored_pair():
    """On their only common row; one of them was once dropped without a word."""
    R = np.full((40, 2), np.nan)
    rng = np.random.default_rng(0)
    R[:20, 0], R[20:, 1] = rng.random(20), rng.random(20)
    R[20, 0] = 1.0 - R[20, 1]
    with pytest.raises(ValueError, match=r"ambiguous: only 1 pairs of predictions .* two models"):
        find_layout(R, 2, "auto")
    with pytest.raises(ValueError, match="ambiguous"):
        CFEnsemble().fit(R, np.arange(40) % 2)
    np.testing.assert_array_equal(find_layout(R, 2, "positive").columns, [0, 1])


@pytest.mark.parametrize("order", ["model-major", "class-major"])
def test_pairs_that_nearly_always_sum_to_1_bring_a_warning(order):
    """One corrupt row would otherwise turn the columns of the first class into models."""
    R = model_major(2)
    R[3, 0] = 0.99 * R[3, 0] + 0.005
    R = R if order == "model-major" else class_major(R, 2)
    with pytest.warns(UserWarning, match=r"although 119 of 120 pairs of predictions sum to 1"):
        layout = find_layout(R, 2, "auto")
    assert layout.mirrors is None
    assert len(layout.columns) == 8


def test_keeping_models_keeps_all_their_columns():
    layout = find_layout(class_major(model_major(3), 3), 3, "class-major").keep(
        np.array([True, False, True, False])
    )
    np.testing.assert_array_equal(layout.columns, [0, 4, 8, 2, 6, 10])


def test_targets_mark_the_column_of_the_true_class():
    layout = find_layout(model_major(3, m=2), 3, "auto")
    np.testing.assert_array_equal(
        layout.targets(np.array([2, 0])),
        np.array([[0, 0, 1, 0, 0, 1], [1, 0, 0, 1, 0, 0]], dtype=bool),
    )


def test_three_classes_give_the_same_fit_in_either_order():
    data = make_predictions(300, 5, n_classes=3, missing=0.2, random_state=0)
    by_model = CFEnsemble(latent_dim=4).fit(data.R, data.y)
    by_class = CFEnsemble(latent_dim=4, layout="class-major").fit(class_major(data.R, 3), data.y)
    assert by_model.layout_ == by_class.layout_ == "model-major"
    np.testing.assert_allclose(
        by_model.predict_proba(data.R), by_class.predict_proba(class_major(data.R, 3)), atol=1e-12
    )
    np.testing.assert_allclose(class_major(by_model.coef_, 3), by_class.coef_, atol=1e-12)
    np.testing.assert_allclose(
        class_major(by_model.reconstruct(data.R), 3),
        by_class.reconstruct(class_major(data.R, 3)),
        atol=1e-12,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"aggregator": "mean"},
        {"use_class_weights": True, "focal_gamma": 2.0},
        {"use_label_aware_confidence": False, "nonnegative": False},
        {"aggregator_reg": 3.0, "confidence": "certainty", "posterior": "weighted"},
        {"link": "identity", "confidence": "calibration", "aggregator": "mean"},
    ],
    ids=str,
)
def test_softmax_of_two_classes_is_the_binary_path(settings):
    """Passing both columns and saying so takes the general path; only rank must not bind, since the
    columns double.
    """
    data = make_predictions(400, 6, weights=[0.8, 0.2], missing=0.1, random_state=0)
    both = np.stack([1 - data.R, data.R], axis=2).reshape(400, -1)
    settings = {"tol": 1e-12, "max_iter": 2000, **settings}
    binary = CFEnsemble(latent_dim=6, **settings).fit(data.R, data.y)
    general = CFEnsemble(latent_dim=6, layout="model-major", **settings).fit(both, data.y)
    assert general.coef_.shape == (2, 12)
    np.testing.assert_allclose(general.predict_proba(both), binary.predict_proba(data.R), atol=1e-6)
    detected = CFEnsemble(latent_dim=6, **settings).fit(both, data.y)
    np.testing.assert_allclose(
        detected.predict_proba(both), binary.predict_proba(data.R), atol=1e-12
    )
    np.testing.assert_allclose(
        detected.reconstruct(both)[:, ::2], 1 - binary.reconstruct(data.R), atol=1e-12
    )


def test_a_dead_model_among_both_columns_of_two_classes_stays_missing():
    """Each column is reconstructed beside its own partner, not beside whatever is left over."""
    data = make_predictions(200, 4, random_state=0)
    both = class_major(np.stack([1 - data.R, data.R], axis=2).reshape(200, -1), 2)
    both[:, [1, 5]] = np.nan
    with pytest.warns(UserWarning, match="no prediction in any row"):
        filled = CFEnsemble().fit(both, data.y).reconstruct(both)
    np.testing.assert_array_equal(np.isnan(filled).any(axis=0), [False, True, False, False] * 2)
    alive = [0, 2, 3]
    np.testing.assert_allclose(filled[:, :4][:, alive] + filled[:, 4:][:, alive], 1.0)
    assert np.abs(filled[:, 4:][:, alive] - data.R[:, alive]).mean() < 0.1


def test_a_model_that_lacks_a_class_still_counts_for_the_others():
    """A class missing from a fold leaves one column of that model empty for those rows, or for
    all.
    """
    data = make_predictions(400, 5, n_classes=3, random_state=0)
    R = data.R.copy()
    R[:200, 2] = np.nan
    R[:, 5] = np.nan
    meta = CFEnsemble(layout="model-major").fit(R, data.y)
    P = meta.predict_proba(R)
    assert np.isfinite(P).all()
    np.testing.assert_allclose(P.sum(axis=1), 1.0)
    assert (P.argmax(axis=1) == data.y).mean() > 0.6


@pytest.mark.filterwarnings("ignore:layout='auto' takes:UserWarning")
def test_rounding_above_one_does_not_turn_probabilities_into_scores():
    R = np.random.default_rng(0).random((20, 3))
    R[0, 0] = 1.0 + 2e-16
    R[1, 0] = np.float32(1.0000001)
    assert find_layout(R, 2, "auto").kind == "positive"
    R[2, 0] = 1.1
    assert find_layout(R, 2, "auto").kind == "scores"
