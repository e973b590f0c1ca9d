"""Link and centring: inverses, missing cells, weights."""

import numpy as np
import pytest

from cfens_stack.ensemble.link import apply_link, centre, invert_link, standardise


@pytest.mark.parametrize("link", ["logit", "identity"])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_link_and_inverse_return_the_probabilities(link, n_outputs):
    rng = np.random.default_rng(0)
    R = rng.dirichlet(np.ones(3), (20, 4)).reshape(20, 12)
    R = R[:, :4] if n_outputs == 1 else R
    back = invert_link(apply_link(R, link, 0.01, n_outputs), link, 0.01, n_outputs)
    np.testing.assert_allclose(back, R, atol=1e-12)


def test_inverse_where_a_model_has_no_prediction_for_a_class():
    R = np.random.default_rng(0).dirichlet(np.ones(2), (20, 2)).reshape(20, 4)
    R = np.insert(R, [1, 3], np.nan, axis=1)  # the second of three classes
    G = np.nan_to_num(apply_link(R, "logit", 0.01, 3), nan=-np.inf)
    np.testing.assert_allclose(invert_link(G, "logit", 0.01, 3), np.nan_to_num(R), atol=1e-12)


def test_two_outputs_are_plus_and_minus_half_the_log_odds():
    """So that the softmax path of two classes can agree with the binary one."""
    p = np.array([[0.2], [0.9]])
    odds = np.log((p + 0.01) / (1 - p + 0.01))
    G = apply_link(np.hstack([1 - p, p]), "logit", 0.01, 2)
    np.testing.assert_allclose(G, np.hstack([-odds, odds]) / 2)


def test_smoothed_log_odds_are_finite_and_keep_the_order_of_the_extremes():
    G = apply_link(np.array([[0.0, 1e-9, 0.5, 1.0 - 1e-9, 1.0]]), "logit", 0.01, 1)[0]
    np.testing.assert_allclose(
        G[[0, 2, 4]], [np.log(0.01 / 1.01), 0.0, np.log(1.01 / 0.01)], atol=1e-12
    )
    assert np.all(np.diff(G) > 0)
    np.testing.assert_allclose(apply_link(np.array([[1.0]]), "logit", 1e-300, 1), -np.log(1e-300))


def test_the_smallest_smoothing_overflows_nowhere():
    log_odds = apply_link(np.array([[0.0, 1.0, 0.5]]), "logit", 1e-310, 1)
    np.testing.assert_allclose(
        log_odds, [[np.log(1e-310), -np.log(1e-310), 0.0]], rtol=1e-9, atol=1e-12
    )


def test_missing_cells_stay_missing_and_leave_the_others_alone():
    R = np.random.default_rng(0).dirichlet(np.ones(3), (5, 2)).reshape(5, 6)
    full = apply_link(R, "logit", 0.01, 3)
    R[2, :3] = np.nan
    R[3, 4] = np.nan
    G = apply_link(R, "logit", 0.01, 3)
    np.testing.assert_array_equal(np.isnan(G), np.isnan(R))
    np.testing.assert_array_equal(G[2, 3:], full[2, 3:])
    # One class of a model missing: the log-ratio is centred over the classes that are there.
    assert G[3, 3] + G[3, 5] == pytest.approx(0.0, abs=1e-12)


def test_centring_over_observed_cells_and_copies_of_rows():
    rng = np.random.default_rng(0)
    G, v = rng.standard_normal((30, 4)) * 3 + 2, rng.integers(0, 3, 30).astype(float)
    observed = rng.random(G.shape) < 0.7
    G[~observed] = np.nan
    mu, s = centre(G, observed, v)
    copies = np.repeat(np.arange(30), v.astype(int))
    np.testing.assert_allclose(mu, np.nanmean(G[copies], axis=0))
    assert s == pytest.approx(np.sqrt(np.nanmean((G[copies] - mu) ** 2)))
    Z = standardise(G, observed, mu, s)
    assert not Z[~observed].any()
    assert np.sum(v @ Z**2) / np.sum(v @ observed) == pytest.approx(1.0)


@pytest.mark.parametrize("level", [0.0, 0.3, -4.6])
def test_constant_columns_are_not_blown_up(level):
    """Their scale is rounding; dividing by it would turn noise of 1e-16 into predictions of size
    1.
    """
    G = np.full((10, 3), level)
    mu, s = centre(G, np.ones(G.shape, dtype=bool), np.ones(10))
    assert s == 1.0
    assert np.abs(standardise(G, np.ones(G.shape, dtype=bool), mu, s)).max() < 1e-14
