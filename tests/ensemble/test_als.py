"""The ALS trainer: convergence, what reaches the factors and what does not, recovery of low-rank
matrices.
"""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.exceptions import ConvergenceWarning

from cfens_stack import CFEnsemble, CFEnsembleTrainer
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.als import Cells, label_aware, spectral_start, train_factors
from cfens_stack.ensemble.engines import in_memory
from cfens_stack.ensemble.objective import reconstruction
from cfens_stack.kernels.ridge import fold_in, ridges, sweep


@pytest.fixture(scope="module")
def data():
    return make_predictions(500, 8, weights=[0.9, 0.1], missing=0.1, random_state=0)


def centred(n=300, m=10, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, 4)) @ rng.standard_normal((4, m)) + 0.5 * rng.standard_normal(
        (n, m)
    )
    observed = rng.random((n, m)) >= missing
    return np.where(observed, Z, 0.0), observed.astype(float), np.ones(n)


@pytest.mark.parametrize("latent_dim", [1, 3, 10])
@pytest.mark.parametrize("lambda_reg", [1e-3, 0.01, 0.2])
def test_spectral_start_is_the_optimum_of_complete_data(latent_dim, lambda_reg):
    """With constant confidence (1) is a soft-thresholded SVD: a sweep finds nothing to gain."""
    Z, C, v = centred()
    v = np.random.default_rng(1).uniform(0.5, 2.0, len(v))
    ridge_x, ridge_y = ridges(C, v, lambda_reg)
    X = spectral_start(Z.T @ (v[:, None] * Z), latent_dim, ridge_x, ridge_y, exact=True)
    swept, before, after = sweep(Z, C[0], v, X, ridge_x, ridge_y)
    assert after == pytest.approx(before, rel=1e-10)
    np.testing.assert_allclose(swept @ swept.T, X @ X.T, atol=1e-8)
    # |X|^2 and |Y|^2 of a component cost 2 threshold times its singular value: the nuclear norm.
    s = np.linalg.svd(np.sqrt(v)[:, None] * Z, compute_uv=False)
    threshold = np.sqrt(ridge_x * ridge_y)
    kept = np.maximum(s[:latent_dim] - threshold, 0.0)
    optimum = (
        np.sum(s**2)
        - np.sum(s[:latent_dim] ** 2)
        + np.sum((s[:latent_dim] - kept) ** 2 + 2 * threshold * kept)
    )
    assert before == pytest.approx(optimum, rel=1e-10)


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_objective_falls_and_is_the_one_of_equation_1(missing):
    Z, C, v = centred(missing=missing)
    C = C * np.random.default_rng(1).gamma(2.0, size=C.shape)
    ridge_x, ridge_y = ridges(C, v, 0.01)
    X, values, converged = train_factors(
        in_memory(Cells(Z, C, v)), 3, ridge_x, ridge_y, max_iter=500, tol=1e-9
    )
    assert converged
    assert np.all(np.diff(values) <= 1e-12)
    final = reconstruction(Z, C, v, X, fold_in(Z, C, X, ridge_y), 0.01)
    assert final <= values[-1]
    assert final == pytest.approx(values[-1], rel=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_no_start_at_random_does_better(seed):
    Z, C, v = centred(missing=0.2, seed=seed)
    ridge_x, ridge_y = ridges(C, v, 0.01)
    _, values, _ = train_factors(
        in_memory(Cells(Z, C, v)), 4, ridge_x, ridge_y, max_iter=500, tol=1e-10
    )
    rng = np.random.default_rng(seed)
    for _ in range(3):
        X = rng.standard_normal((10, 4))
        for _ in range(200):
            X, value, _ = sweep(Z, C, v, X, ridge_x, ridge_y)
        assert values[-1] <= value / C.sum() * (1 + 1e-6)


def test_too_few_sweeps_warn_and_name_the_remedy(data):
    with pytest.warns(
        ConvergenceWarning,
        match="max_iter=2 iterations without reaching tol=0.0. Raise max_iter or",
    ):
        meta = CFEnsemble(max_iter=2, tol=0.0).fit(data.R, data.y)
    assert not meta.converged_
    assert meta.n_iter_ == len(meta.history_["reconstruction"]) - 1 == 2


def fits_differ(data, one, other):
    one, other = (
        CFEnsemble(latent_dim=4, **settings).fit(data.R, data.y) for settings in (one, other)
    )
    return [
        not np.allclose(getattr(one, name), getattr(other, name), rtol=1e-3, atol=1e-6)
        for name in ("classifier_factors_", "coef_")
    ]


@pytest.mark.parametrize("settings", [{"use_class_weights": True}, {"focal_gamma": 2.0}], ids=str)
def test_class_weights_and_focal_loss_reach_only_the_aggregator(data, settings):
    """A closed form has no place for them: technique table of docs/method.md."""
    assert fits_differ(data, {}, settings) == [False, True]


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
def test_rho_reaches_the_factors_through_the_label_aware_confidence(data, rho):
    """rho once had no effect at all (mistake 1)."""
    aware = {"use_label_aware_confidence": True}
    assert fits_differ(data, {**aware, "rho": rho}, {**aware, "rho": 1.0})[0]
    assert fits_differ(data, {"use_label_aware_confidence": False, "rho": rho}, {"rho": 1.0}) == [
        False,
        False,
    ]


@pytest.mark.parametrize(
    "settings",
    [{"use_label_aware_confidence": True, "rho": 1.0}, {"use_label_aware_confidence": False}],
)
def test_factors_that_ignore_labels(data, settings):
    permuted = np.random.default_rng(0).permutation(data.y)
    one, other = (CFEnsemble(**settings).fit(data.R, y) for y in (data.y, permuted))
    np.testing.assert_array_equal(one.classifier_factors_, other.classifier_factors_)
    assert not np.allclose(one.coef_, other.coef_)


def test_label_aware_factors_see_labels(data):
    permuted = np.random.default_rng(0).permutation(data.y)
    one, other = (
        CFEnsemble(use_label_aware_confidence=True, latent_dim=3).fit(data.R, y)
        for y in (data.y, permuted)
    )
    assert np.abs(one.classifier_factors_ - other.classifier_factors_).max() > 1e-3


@pytest.mark.parametrize(("share", "expected"), [(0.1, True), (0.3, False)])
def test_auto_is_label_aware_where_classes_are_imbalanced(share, expected):
    data = make_predictions(600, 6, weights=[1 - share, share], random_state=0)
    auto, explicit = (
        CFEnsemble(use_label_aware_confidence=choice).fit(data.R, data.y)
        for choice in ("auto", expected)
    )
    np.testing.assert_array_equal(auto.classifier_factors_, explicit.classifier_factors_)


def test_label_aware_confidence_keeps_its_meaning_at_one_half(data):
    """rho = 1/2 is the classical c (1 + a), up to scale: labels steer, they do not replace, the
    reconstruction.
    """
    half, plain = (
        CFEnsemble(use_label_aware_confidence=aware, latent_dim=4).fit(data.R, data.y)
        for aware in (True, False)
    )
    errors = [np.nanmean((meta.reconstruct(data.R) - data.R) ** 2) for meta in (half, plain)]
    assert errors[0] < 2 * errors[1]


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_label_aware_confidence_keeps_mean_one_so_that_lambda_keeps_its_meaning(data, rho):
    class Watched(CFEnsemble):
        def train(self, problem):
            self.rows_ = problem.rows.handles[0]
            self.confidence_given_ = label_aware(problem, self).handles[0].C
            return super().train(problem)

    v = np.random.default_rng(0).uniform(0.5, 2.0, len(data.y))
    meta = Watched(use_label_aware_confidence=True, rho=rho, confidence="certainty")
    meta.fit(data.R, data.y, sample_weight=v)
    observed, v = np.isfinite(meta.rows_.R), meta.rows_.v
    # Completed rows are trained on as complete ones; before, only observed cells count.
    assert np.sum(v @ meta.confidence_given_) / v.sum() / 8 == pytest.approx(1.0)
    C = meta.rows_.observed_confidence()
    assert np.sum(v @ C) / np.sum(v @ observed) == pytest.approx(1.0)
    assert not C[~observed].any()


def rank_matrix(n, m, rank, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    G = 0.7 * rng.standard_normal((n, rank)) @ rng.standard_normal((rank, m)) + rng.standard_normal(
        m
    )
    y = (rng.random(n) < expit(G.mean(axis=1))).astype(int)
    return expit(G + noise * rng.standard_normal((n, m))), y, G


@pytest.mark.parametrize(("missing", "latent_dim"), [(0.0, 5), (0.2, 6)])
def test_noiseless_rank_5_is_reconstructed(missing, latent_dim):
    """With missing cells one more factor makes up for column means taken over the cells that are
    there.
    """
    R, y, G = rank_matrix(500, 20, 5)
    given = np.where(np.random.default_rng(1).random(R.shape) < missing, np.nan, R)
    meta = CFEnsemble(
        latent_dim=latent_dim,
        lambda_reg=1e-6,
        uncertainty=False,  # its prior does not expect rows without noise
        smoothing=1e-6,
        use_label_aware_confidence=False,
        max_iter=1000,
        tol=1e-7,
    ).fit(given, y)
    error = logit(meta.reconstruct(given)) - G
    assert np.sqrt(np.mean(error**2)) < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_held_out_cells_of_rank_3_beat_column_and_row_means(seed):
    R, y, G = rank_matrix(600, 15, 3, noise=0.3, seed=seed)
    hidden = np.random.default_rng(seed).random(R.shape) < 0.3
    given = np.where(hidden, np.nan, R)
    meta = CFEnsemble(latent_dim=3, smoothing=1e-4).fit(given, y)
    seen = logit(given)
    column = np.broadcast_to(np.nanmean(seen, axis=0), R.shape)
    row = np.nanmean(seen - column, axis=1, keepdims=True)
    errors = [
        np.sqrt(np.mean((guess - G)[hidden] ** 2))
        for guess in (logit(meta.reconstruct(given)), column, column + row)
    ]
    assert errors[0] < 0.5 * min(errors[1:])


def test_trainer_under_its_own_name_is_the_same_method(data):
    one = CFEnsembleTrainer(n_classifiers=8, latent_dim=4, rho=0.3, use_class_weights=True).fit(
        data.R, data.y
    )
    other = CFEnsemble("als", latent_dim=4, rho=0.3, use_class_weights=True).fit(data.R, data.y)
    np.testing.assert_array_equal(one.predict_proba(data.R), other.predict_proba(data.R))
    np.testing.assert_array_equal(one.coef_, other.coef_)


@pytest.mark.parametrize(
    "settings",
    [
        {
            "rho": 0.5,
            "use_label_aware_confidence": True,
            "use_class_weights": True,
            "focal_gamma": 0.0,
        },
        {"use_label_aware_confidence": True, "use_class_weights": True, "focal_gamma": 2.0},
    ],
    ids=str,
)
def test_published_configurations_run_as_written(settings):
    data = make_predictions(400, 10, random_state=0)
    trainer = CFEnsembleTrainer(n_classifiers=10, latent_dim=20, **settings).fit(data.R, data.y)
    assert trainer.converged_
    assert trainer.classifier_factors_.shape == (
        10,
        10,
    )  # rank 20 of 10 models limits nothing (mistake 7)


@pytest.mark.parametrize("label_aware", [True, False])
def test_sweeps_in_float32_end_where_those_in_float64_do(data, label_aware):
    settings = {"latent_dim": 4, "use_label_aware_confidence": label_aware}
    double, single = (
        CFEnsemble(dtype=dtype, **settings).fit(data.R, data.y) for dtype in ("float64", "float32")
    )
    expected = double.predict_proba(data.R)
    np.testing.assert_allclose(single.predict_proba(data.R), expected, rtol=0, atol=1e-5)
    assert single.classifier_factors_.dtype == np.float64
    assert not np.array_equal(single.classifier_factors_, double.classifier_factors_)


@pytest.mark.parametrize("weight", [1e-30, 1e37])
def test_float32_takes_weights_that_it_could_not_add_up(data, weight):
    # Weights count rows, so that 1e-30 leaves the prior of the completion in charge.
    settings = {"dtype": "float32", "aggregator_reg": 10.0 * weight, "uncertainty": False}
    weighted = CFEnsemble(**settings).fit(
        data.R, data.y, sample_weight=np.full(len(data.y), weight)
    )
    settings["aggregator_reg"] = 10.0
    plain = CFEnsemble(**settings).fit(data.R, data.y)
    np.testing.assert_allclose(weighted.reconstruct(data.R), plain.reconstruct(data.R), atol=1e-5)


def test_float32_warns_where_it_loses_digits(data):
    with pytest.warns(
        UserWarning, match="lose digits below 0.001. Use dtype='float64' or a larger lambda_reg"
    ):
        CFEnsemble(dtype="float32", lambda_reg=1e-4).fit(data.R, data.y)


def test_plain_average_of_the_aggregator_is_the_mean_probability_with_the_identity_link():
    """The tangent of the log-odds at 1/2, so p = 1/2 exactly where the mean probability is 1/2."""
    data = make_predictions(200, 4, random_state=0)
    meta = CFEnsemble(link="identity", aggregator="mean").fit(data.R, data.y)
    np.testing.assert_allclose(meta.coef_, 4.0 / 4)
    assert meta.intercept_ == pytest.approx(-2.0)
