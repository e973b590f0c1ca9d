"""Missing cells: what fills them, what stays unknown, and what both do to the probability."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logit
from sklearn.metrics import log_loss

from cfens_stack import CFEnsemble, CFEnsemblePyTorchTrainer
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.completion import regularised
from cfens_stack.ensemble.partitions import fit_partitions


@pytest.fixture(scope="module")
def data():
    return make_predictions(800, 8, weights=[0.9, 0.1], missing=0.3, random_state=0)


@pytest.mark.parametrize("settings", [{}, {"latent_dim": 2}, {"confidence": "certainty"}])
def test_complete_rows_are_those_of_the_published_method(settings):
    complete = make_predictions(500, 8, random_state=0)
    new = CFEnsemble(**settings).fit(complete.R, complete.y)
    published = CFEnsemble(uncertainty=False, **settings).fit(complete.R, complete.y)
    for name in ("classifier_factors_", "coef_", "intercept_"):
        assert_allclose(getattr(new, name), getattr(published, name), rtol=1e-6, atol=1e-8)
    P = new.predict_proba(complete.R)
    assert_allclose(P, published.predict_proba(complete.R), rtol=0, atol=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "settings", [{}, {"use_class_weights": True}, {"focal_gamma": 2.0, "use_class_weights": True}]
)
def test_a_row_without_predictions_gets_the_prevalence(n_classes, settings):
    data = make_predictions(
        900,
        6,
        n_classes=n_classes,
        weights={2: [0.8, 0.2], 3: [0.7, 0.2, 0.1]}[n_classes],
        random_state=0,
    )
    layout = "positive" if n_classes == 2 else "model-major"
    meta = CFEnsemble(layout=layout, **settings).fit(data.R, data.y)
    P = meta.predict_proba(np.full((1, data.R.shape[1]), np.nan))
    assert_allclose(P[0], np.bincount(data.y) / len(data.y), atol=1e-9)


def test_the_fewer_predictions_the_nearer_to_the_prevalence(data):
    """One row of certain models: hiding one after another takes it towards the base rate."""
    meta = CFEnsemble().fit(data.R, data.y)
    R = np.full((9, 8), 0.98)
    for hidden in range(9):
        R[hidden, :hidden] = np.nan
    p = meta.predict_proba(R)[:, 1]
    assert np.all(np.diff(p) < 0)
    assert p[-1] == pytest.approx(data.y.mean())


def test_mean_probability_stays_at_the_prevalence_when_cells_are_missing_at_prediction_only():
    data = make_predictions(6000, 12, weights=[0.95, 0.05], random_state=0)
    R, y = data.R[:2000], data.y[:2000]
    meta, published = (CFEnsemble(uncertainty=u).fit(R, y) for u in (True, False))
    rng = np.random.default_rng(0)
    new = data.R[2000:]
    reference = meta.predict_proba(new)[:, 1].mean()
    for share in (0.25, 0.5, 0.75):
        hidden = np.where(rng.random(new.shape) < share, np.nan, new)
        assert meta.predict_proba(hidden)[:, 1].mean() == pytest.approx(reference, rel=0.1)
    assert published.predict_proba(hidden)[:, 1].mean() < 0.9 * reference


def test_missing_groups_are_predicted_better_than_by_leaving_them_out():
    """Two families of models, one of them better; a row has one of the two."""
    losses = []
    for seed in range(4):
        data = make_predictions(
            3000, 12, n_families=2, missing=0.4, missing_pattern="family", random_state=seed
        )
        R, y, R_new, y_new = data.R[:1500], data.y[:1500], data.R[1500:], data.y[1500:]
        losses.append(
            [
                log_loss(y_new, CFEnsemble(uncertainty=u).fit(R, y).predict_proba(R_new))
                for u in (True, False)
            ]
        )
    new, published = np.mean(losses, axis=0)
    assert new < published


def test_factors_of_generated_rows_are_found_again():
    """Rank 2 in 10 columns, 40 % missing: filled cells are near the truth, and std says how near."""
    rng = np.random.default_rng(0)
    n, m = 2000, 10
    G = rng.standard_normal((n, 2)) @ rng.standard_normal((2, m)) + 0.3 * rng.standard_normal(
        (n, m)
    )
    y = (rng.random(n) < expit(G.mean(axis=1))).astype(int)
    missing = rng.random((n, m)) < 0.4
    R = np.where(missing, np.nan, expit(G))
    meta = CFEnsemble(latent_dim=2, smoothing=1e-9, lambda_reg=1e-3, tol=1e-6).fit(R, y)
    R_hat, std = meta.reconstruct(R, return_std=True)
    assert not std[~missing].any()
    error = (logit(R_hat) - G)[missing]
    # Reconstructions leave the noise of a cell out, which std holds.
    assert np.sqrt(np.mean((error / std[missing]) ** 2)) == pytest.approx(1.0, abs=0.1)
    assert std[missing].max() > 1.5 * std[missing].min()  # rows with few cells are less sure
    with pytest.raises(ValueError, match="return_std=True needs"):
        CFEnsemble(uncertainty=False).fit(R, y).reconstruct(R, return_std=True)


def test_order_duplicates_and_weights_of_rows_make_no_difference(data):
    rng = np.random.default_rng(0)
    v = rng.integers(1, 3, len(data.y)).astype(float)
    copies = rng.permutation(np.repeat(np.arange(len(data.y)), v.astype(int)))
    columns = rng.permutation(8)
    weighted = CFEnsemble(tol=1e-8).fit(data.R, data.y, sample_weight=v)
    copied = CFEnsemble(tol=1e-8).fit(data.R[copies], data.y[copies])
    moved = CFEnsemble(tol=1e-8).fit(data.R[:, columns], data.y, sample_weight=v)
    P = weighted.predict_proba(data.R)
    assert_allclose(copied.predict_proba(data.R), P, atol=1e-6)
    assert_allclose(moved.predict_proba(data.R[:, columns]), P, atol=1e-6)


def test_unlabelled_rows_teach_what_fills_cells(data):
    y = np.where(np.arange(len(data.y)) % 10, np.nan, data.y)
    with_all = CFEnsemble().fit(data.R, y)
    labelled = CFEnsemble().fit(data.R[::10], data.y[::10])
    S, S_few = (meta.encoder_.completion.covariance for meta in (with_all, labelled))
    S_all = CFEnsemble().fit(data.R, data.y).encoder_.completion.covariance
    assert_allclose(S, S_all, rtol=1e-10)
    assert np.abs(S_few - S_all).max() > 0.05


@pytest.mark.parametrize("settings", [{}, {"confidence": "certainty"}, {"latent_dim": 3}])
def test_partitions_complete_alike(data, settings):
    whole = CFEnsemble(**settings).fit(data.R, data.y)
    model = fit_partitions(CFEnsemble(**settings), np.split(data.R, [100, 101, 500]), data.y)
    assert_allclose(model.predict_proba(data.R), whole.predict_proba(data.R), atol=1e-8)
    assert len(whole.history_["completion"]) == len(model.history_["completion"]) > 0


def test_both_trainers_start_from_the_same_completed_rows(data):
    pytest.importorskip("torch", reason="torch is not installed")
    shared = {"latent_dim": 4, "aggregator_reg": 10.0}
    als = CFEnsemble(use_label_aware_confidence=False, **shared).fit(data.R, data.y)
    exact = CFEnsemblePyTorchTrainer(rho=1.0, **shared).fit(data.R, data.y)
    assert_allclose(exact.predict_proba(data.R), als.predict_proba(data.R), atol=1e-6)


def test_the_prior_keeps_few_rows_from_explaining_everything():
    """Three rows, eight columns: the covariance stays positive definite, near a multiple of I."""
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((3, 8))
    S, psi = regularised(Z.T @ Z / 3, n=3, d=8, least_noise=0.01)
    values = np.linalg.eigvalsh(S)
    assert values[0] >= psi * (1 - 1e-9)
    assert np.trace(S) == pytest.approx(np.sum(Z**2) / 3, rel=0.01)
    assert values[-1] / values[0] < 20


@pytest.mark.parametrize("missing", [0.4, 0.95])
@pytest.mark.parametrize("lambda_reg", [1.0, 3.0, 1e3])
def test_the_noise_of_filled_cells_does_not_feed_itself(missing, lambda_reg):
    """S grew from sweep to sweep, as psi was a share of a variance that contained it."""
    data = make_predictions(1000, 6, missing=missing, random_state=0)
    model = CFEnsemble(lambda_reg=lambda_reg).fit(data.R, data.y)
    assert model.converged_
    # Centring only takes from the second moment of the log-odds.
    assert model.encoder_.completion.noise <= lambda_reg * np.nanmean(logit(data.R) ** 2)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_confidence_may_be_as_small_as_a_float(data):
    def confidence(R, y):
        return np.where(np.nan_to_num(R) > 0.8, 1e-310, 1.0)

    P = CFEnsemble(confidence=confidence).fit(data.R, data.y).predict_proba(data.R)
    assert np.all(np.isfinite(P))
