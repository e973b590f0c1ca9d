"""Numbers at the limits: no warning, no NaN, and no answer that rounding decides."""

from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def ill_conditioned():
    data = make_predictions(300, 6, random_state=0)
    positive = np.zeros(5000, dtype=int)
    positive[7] = 1
    rare = np.random.default_rng(0).random((5000, 4))
    rng = np.random.default_rng(1)
    copies = data.R[:, :1] + 1e-12 * rng.random((300, 6))
    rotated = (data.R - 0.5) @ np.linalg.qr(rng.normal(size=(6, 6)))[0] * np.logspace(0, -12, 6)
    # Condition number 1e12 without a small column.
    rotated = rotated @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    return {
        "copies up to 1e-12": (copies, data.y),
        "condition number of 1e12": (rotated, data.y),
        "columns of size 1 to 1e12": (data.R * np.logspace(0, 12, 6), data.y),
        "columns of size 1 to 1e-12": (data.R * np.logspace(0, -12, 6), data.y),
        "probabilities of 1e-300": (data.R * 1e-300, data.y),
        "two rows": (np.array([[0.1, 0.2], [0.8, 0.9]]), [0, 1]),
        "50 identical models": (np.tile(data.R[:, :1], (1, 50)), data.y),
        "more models than rows": (
            np.tile(data.R[:20], (1, 10)),
            data.y[:20] | (np.arange(20) == 0),
        ),
        "one positive": (rare, positive),
        "scores of 1e99": (data.R * 1e99, data.y),
    }


TRAINERS = ["als", "pytorch"] if find_spec("torch") else ["als"]


@pytest.mark.filterwarnings("ignore:layout='auto' takes:UserWarning")
@pytest.mark.parametrize("lambda_reg", [1e-8, 1e-2, 1e8])
@pytest.mark.parametrize("link", ["logit", "identity"])
@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("case", ill_conditioned())
def test_numbers_at_the_limits(case, trainer, link, lambda_reg):
    R, y = ill_conditioned()[case]
    meta = CFEnsemble(
        trainer,
        lambda_reg=lambda_reg,
        link=link,
        layout="scores" if case == "columns of size 1 to 1e12" else "auto",
        latent_dim=8,
        max_iter=100 if trainer == "als" else 5,
    )
    P = meta.fit(R, y).predict_proba(R)
    assert np.isfinite(P).all()
    np.testing.assert_allclose(P.sum(axis=1), 1.0, atol=1e-12)
    assert np.isfinite(meta.reconstruct(R)).all()


@pytest.mark.parametrize(
    "case", ["copies up to 1e-12", "condition number of 1e12", "columns of size 1 to 1e-12"]
)
def test_noise_of_rounding_does_not_reach_the_probabilities(case):
    """A millionth part of every prediction, with the same fit, moves no probability by more than a
    thousandth.
    """
    R, y = ill_conditioned()[case]
    noise = 1.0 + 1e-6 * np.random.default_rng(2).uniform(-1, 1, R.shape)
    P, Q = (CFEnsemble(latent_dim=8).fit(table, y).predict_proba(table) for table in (R, R * noise))
    np.testing.assert_allclose(P, Q, atol=1e-3)


def test_one_positive_among_a_million():
    rng = np.random.default_rng(0)
    y = np.zeros(1_000_000, dtype=int)
    y[-1] = 1
    R = rng.random((len(y), 2))
    R[-1] = 0.99
    P = CFEnsemble().fit(R, y).predict_proba(R)[:, 1]
    assert np.isfinite(P).all()
    assert P.mean() == pytest.approx(1e-6, rel=0.5)  # the training prevalence
    assert P[-1] > np.median(P)


def test_1000_identical_models_are_as_good_as_one():
    data = make_predictions(300, 6, random_state=0)
    R = np.tile(data.R[:, :1], (1, 1000))
    P = CFEnsemble(latent_dim=2, aggregator_reg=10.0).fit(R, data.y).predict_proba(R)[:, 1]
    assert roc_auc_score(data.y, P) == pytest.approx(roc_auc_score(data.y, R[:, 0]))


def test_float32_input_changes_probabilities_little():
    data = make_predictions(500, 8, random_state=0)
    P, Q = (
        CFEnsemble().fit(R, data.y).predict_proba(R) for R in (data.R, data.R.astype(np.float32))
    )
    np.testing.assert_allclose(P, Q, atol=1e-3)
