"""The PyTorch trainer: exact gradients of objective (3), agreement with ALS, and which technique
reaches which " "parameters.
"""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score, log_loss

from cfens_stack import CFEnsemble, CFEnsemblePyTorchTrainer, CFEnsembleTrainer
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.als import cells_of, train_factors
from cfens_stack.ensemble.newton import supervision
from cfens_stack.ensemble.objective import reconstruction
from cfens_stack.ensemble.training import aggregator_columns
from cfens_stack.kernels.ridge import fold_in

torch = pytest.importorskip("torch", reason="the PyTorch trainer needs the extra torch")

from cfens_stack.ensemble.joint_loss import JointLoss, torch_fold_in  # noqa: E402

MODES = ["projected", "free"]


@pytest.fixture(scope="module")
def data():
    return make_predictions(n_samples=400, n_models=10, missing=0.1, random_state=0)


WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


def run_without_torch(code):
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH + code], check=True, timeout=60)


class ProblemOf(CFEnsemble):
    """Keeps what a trainer is given."""

    def train(self, problem):
        self.problem_ = problem
        return super().train(problem)


def problem_of(R, y, **settings):
    return ProblemOf(**settings).fit(R, y).problem_


def joint_loss(data, strength=3.0, **settings):
    estimator = CFEnsemblePyTorchTrainer(**settings)
    shared = {
        name: getattr(estimator, name)
        for name in ("use_class_weights", "uncertainty", "confidence")
    }
    problem = problem_of(data.R, data.y, **shared)
    rng = np.random.default_rng(5)
    X, theta = random_point(problem, rng)
    loss = JointLoss(problem, estimator, strength, X, theta[: problem.n_columns])
    return problem, problem.rows.handles[0], loss


def random_point(problem, rng, d=3):
    _, _, w0, b0 = aggregator_columns(problem)
    return rng.normal(size=(problem.n_columns, d)), np.append(w0, b0) + rng.normal(
        scale=0.1, size=len(w0) + len(b0)
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_is_the_design_written_out(data, gamma, weighted):
    """(3) in torch, chunk by chunk, equals (1) and (2) in numpy at the same point."""
    problem, rows, loss = joint_loss(
        data, focal_gamma=gamma, use_class_weights=weighted, rho=0.3, uncertainty=False
    )
    X, theta = random_point(problem, np.random.default_rng(0))
    value, parts, _, gradient = loss.value_and_gradient(X, theta)
    Y = fold_in(rows.Z, rows.C, X, problem.encoder.ridge)
    w0 = aggregator_columns(problem)[2]
    unit = problem.encoder.scale * problem.gain[:, None]
    M = np.vstack([np.column_stack([unit * X, np.zeros(len(X))]), np.eye(4)[-1:]])
    expected_sup, expected_gradient, _ = supervision(
        theta,
        np.column_stack([Y, np.ones(len(Y))]),
        M,
        np.zeros(len(theta), dtype=int),
        rows.y,
        rows.v * problem.class_weights[rows.y],
        gamma,
        w0,
        3.0 / rows.v.sum(),
    )
    expected_recon = reconstruction(rows.Z, rows.C, rows.v, X, Y, 0.01)
    np.testing.assert_allclose(parts, [expected_recon, expected_sup], rtol=1e-10)
    assert value == pytest.approx(0.3 * expected_recon + 0.7 * expected_sup, rel=1e-12)
    np.testing.assert_allclose(gradient, 0.7 * expected_gradient, rtol=1e-8, atol=1e-12)


def test_a_pair_of_strengths_is_the_penalty_of_the_page():
    """(8a) in place of the last term of (2), in value and gradient."""
    data = make_predictions(120, 4, n_classes=3, random_state=0)
    (problem, _, one), (*_, two) = (
        joint_loss(data, strength, rho=0.3) for strength in (3.0, np.array([20.0, 3.0]))
    )
    X, theta = random_point(problem, np.random.default_rng(0))
    w0 = aggregator_columns(problem)[2]

    def penalty(theta, common, own):
        v = (theta[: len(w0)] - w0).reshape(4, 3)
        mean = v.mean(axis=1, keepdims=True)
        return 0.7 * (common * np.sum(mean**2) + own / 3 * np.sum((v - mean) ** 2)) / 240

    def difference(theta):
        return penalty(theta, 20.0, 3.0) - penalty(theta, 3.0, 3.0)

    (value, *_, slope), (value_of_two, *_, slope_of_two) = (
        loss.value_and_gradient(X, theta) for loss in (one, two)
    )
    assert value_of_two - value == pytest.approx(difference(theta), rel=1e-9)
    expected = approx_fprime(theta, difference, 1e-7)
    np.testing.assert_allclose(slope_of_two - slope, expected, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(
    "settings",
    [{}, {"uncertainty": False}, {"confidence": "certainty"}],
    ids=["one confidence", "missing cells left out", "a confidence for each cell"],
)
def test_gradient_against_finite_differences(data, gamma, settings, monkeypatch):
    """Through the fold-in too: the derivative in X is a total one. Chunks add up."""
    monkeypatch.setattr("cfens_stack.ensemble.joint_loss.CHUNK_ROWS", 150)
    problem, _, loss = joint_loss(data, focal_gamma=gamma, use_class_weights=True, **settings)
    rng = np.random.default_rng(1)
    point = random_point(problem, rng)
    _, _, *gradients = loss.value_and_gradient(*point)
    for place, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)

        def value(step, place=place, direction=direction):
            moved = [a + step * direction if place == k else a for k, a in enumerate(point)]
            return loss.value_and_gradient(*moved)[0]

        slope = (value(1e-5) - value(-1e-5)) / 2e-5
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_at_rho_1_the_gradient_vanishes_where_em_ends(data):
    """Both trainers have one objective, with what the uncertainty of filled cells adds to it."""
    problem, _, loss = joint_loss(data, rho=1.0)
    assert np.trace(problem.missing_moment) > 1.0
    X, _, _ = train_factors(
        problem.rows.map(cells_of),
        4,
        problem.ridge_x,
        problem.encoder.ridge,
        max_iter=100,
        tol=1e-12,
        missing=problem.missing_moment,
    )
    _, parts, gradient, _ = loss.value_and_gradient(X, loss.fixed)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-10)
    assert loss.value_and_gradient(1.01 * X, loss.fixed)[1][0] > parts[0]


@pytest.mark.parametrize("shared", [False, True])
def test_fold_in_is_that_of_the_kernel(shared):
    rng = np.random.default_rng(0)
    Z, C, X = rng.normal(size=(50, 6)), rng.random((50, 6)), rng.normal(size=(6, 3))
    C = C[0] if shared else np.where(rng.random(C.shape) < 0.3, 0.0, C)
    Y = torch_fold_in(*(torch.tensor(a) for a in (Z, C, X)), 0.4).numpy()
    np.testing.assert_allclose(Y, fold_in(Z, C, X, 0.4), atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_at_rho_1_both_trainers_reach_the_same_reconstruction(data, mode):
    als = CFEnsemble(rho=1.0, latent_dim=3).fit(data.R, data.y)
    gradient = CFEnsemble("pytorch", rho=1.0, latent_dim=3, instance_factors=mode).fit(
        data.R, data.y
    )
    problem = problem_of(data.R, data.y)
    (rows,) = problem.rows.handles

    def value(X):
        Y = fold_in(rows.Z, rows.C, X, problem.encoder.ridge)
        return reconstruction(rows.Z, rows.C, rows.v, X, Y, 0.01)

    assert value(gradient.classifier_factors_) == pytest.approx(
        value(als.classifier_factors_), rel=0.01
    )


# The table "which technique reaches which parameters": (technique, trainer, does it reach X and
# Y?).
TECHNIQUES = [
    ({"use_class_weights": True}, "als", False),
    ({"focal_gamma": 2.0}, "als", False),
    ({"use_class_weights": True}, "pytorch", True),
    ({"focal_gamma": 2.0}, "pytorch", True),
]


@pytest.mark.parametrize(("technique", "trainer", "reaches_factors"), TECHNIQUES)
def test_which_technique_reaches_which_parameters(data, technique, trainer, reaches_factors):
    """Class weights and focal loss reach X, Y, w, b under PyTorch, and under ALS only w, b."""
    settings = {
        "trainer": trainer,
        "latent_dim": 3,
        "aggregator_reg": 3.0,
        "use_label_aware_confidence": "auto",
    }
    plain = CFEnsemble(**settings).fit(data.R, data.y)
    tilted = CFEnsemble(**settings, **technique).fit(data.R, data.y)
    changes = {
        "X": np.abs(plain.classifier_factors_ - tilted.classifier_factors_).max(),
        "Y": np.abs(plain.transform(data.R) - tilted.transform(data.R)).max(),
    }
    for name, change in changes.items():
        assert (change > 1e-4) if reaches_factors else (change == 0), name
    assert np.abs(plain.coef_ - tilted.coef_).max() > 1e-4
    assert abs(plain.intercept_ - tilted.intercept_) > 1e-4


def test_label_aware_confidence_is_not_for_pytorch(data):
    for estimator in (
        CFEnsemble("pytorch", use_label_aware_confidence=True),
        CFEnsemblePyTorchTrainer(use_label_aware_confidence=True),
    ):
        with pytest.raises(
            ValueError, match=r"use_label_aware_confidence=True does not apply .* gradient is exact"
        ):
            estimator.fit(data.R, data.y)


@pytest.mark.parametrize(
    "trainer",
    [
        CFEnsembleTrainer(
            n_classifiers=10,
            latent_dim=20,
            rho=0.5,
            use_label_aware_confidence=True,
            use_class_weights=True,
            focal_gamma=0.0,
        ),
        CFEnsemblePyTorchTrainer(
            n_classifiers=10, latent_dim=20, rho=0.5, use_class_weights=True, focal_gamma=0.0
        ),
        CFEnsembleTrainer(use_label_aware_confidence=True, use_class_weights=True, focal_gamma=2.0),
        CFEnsemblePyTorchTrainer(use_class_weights=True, focal_gamma=2.0),
    ],
    ids=["als", "pytorch", "als-focal", "pytorch-focal"],
)
def test_published_configurations_run_as_written(data, trainer):
    """And none of them turns the ranking round on imbalanced data (mistake 3)."""
    trainer.fit(data.R[:300], data.y[:300])
    p = trainer.predict_proba(data.R[300:])[:, 1]
    average = np.nanmean(data.R[300:], axis=1)
    y = data.y[300:]
    assert average_precision_score(y, p) > average_precision_score(y, average) - 0.1
    assert len(trainer.history_["supervision"])


def test_free_instance_factors_do_not_leak_labels():
    """Rows that were labelled in training are predicted by fold-in, like any other: no optimism
    beyond that of ALS " "(mistake 4).
    """
    data = make_predictions(n_samples=300, n_models=8, random_state=3)
    rng = np.random.default_rng(0)
    y = rng.permutation(data.y)  # nothing to be learnt: what is scored above chance was memorised
    free = CFEnsemble("pytorch", instance_factors="free", rho=0.1, latent_dim=4).fit(data.R, y)
    als = CFEnsemble("als", latent_dim=4).fit(data.R, y)
    assert log_loss(y, free.predict_proba(data.R)) > log_loss(y, als.predict_proba(data.R)) - 0.02


@pytest.mark.parametrize("mode", MODES)
def test_the_strength_of_the_aggregator_is_found_before_factors_see_labels(mode):
    """Evidence on factors that were fitted to the labels trusts the labels too much."""
    few = make_predictions(n_samples=150, n_models=10, missing=0.3, random_state=0)
    als = CFEnsemble(use_label_aware_confidence=False, tol=1e-2).fit(few.R, few.y)
    model = CFEnsemble("pytorch", instance_factors=mode, tol=1e-2).fit(few.R, few.y)
    assert model.aggregator_reg_ == pytest.approx(als.aggregator_reg_, rel=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_nonnegative_holds_every_weight_at_zero_or_above(mode):
    few = make_predictions(n_samples=150, n_models=10, missing=0.3, random_state=0)
    settings = {"instance_factors": mode, "aggregator_reg": 1e-3, "tol": 1e-2}
    assert CFEnsemble("pytorch", **settings).fit(few.R, few.y).coef_.min() < 0
    weights = CFEnsemble("pytorch", nonnegative=True, **settings).fit(few.R, few.y).coef_
    assert weights.min() == 0
    assert weights.max() > 0


def test_free_keeps_the_best_state_not_the_last(data, monkeypatch):
    """With a step size that makes the objective climb, the factors returned are those of its lowest
    point.
    """
    monkeypatch.setattr("cfens_stack.ensemble.pytorch.LEARNING_RATE", 3.0)
    model = CFEnsemble("pytorch", instance_factors="free", latent_dim=3).fit(data.R, data.y)
    values = model.history_["objective"]
    assert values.argmin() < len(values) - 1
    start = CFEnsemble("als", rho=1.0, latent_dim=3).fit(data.R, data.y)
    if values.argmin() == 0:
        np.testing.assert_allclose(model.classifier_factors_, start.classifier_factors_)


@pytest.mark.parametrize("mode", MODES)
def test_objective_falls(data, mode):
    values = (
        CFEnsemble("pytorch", instance_factors=mode, latent_dim=3)
        .fit(data.R, data.y)
        .history_["objective"]
    )
    assert values[-1] < values[0]
    if mode == "projected":
        assert np.all(np.diff(values) <= 1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_same_seed_same_result_whatever_the_threads(data, mode):
    fits, threads = [], torch.get_num_threads()
    try:
        for number in (1, 1, 2):
            torch.set_num_threads(number)
            fits.append(
                CFEnsemble("pytorch", instance_factors=mode, random_state=0).fit(data.R, data.y)
            )
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(fits[0].classifier_factors_, fits[1].classifier_factors_)
    np.testing.assert_allclose(
        fits[2].predict_proba(data.R), fits[0].predict_proba(data.R), atol=1e-6
    )


@pytest.mark.parametrize("mode", MODES)
def test_float32_agrees_with_float64(data, mode):
    single, double = (
        CFEnsemble("pytorch", dtype=dtype, instance_factors=mode, latent_dim=3)
        .fit(data.R, data.y)
        .predict_proba(data.R)
        for dtype in ("float32", "float64")
    )
    np.testing.assert_allclose(single, double, atol=0.01)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_fitted_state_is_numpy_and_predicts_without_torch(n_classes, tmp_path):
    data = make_predictions(n_samples=200, n_models=5, n_classes=n_classes, random_state=0)
    model = CFEnsemble("pytorch", latent_dim=3).fit(data.R, data.y)
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(model))
    np.save(tmp_path / "R.npy", data.R)
    code = (
        f"import pickle, numpy as np\nmodel = pickle.load(open({str(path)!r}, "
        f"'rb'))\nnp.save({str(tmp_path / 'P.npy')!r}, "
        f"model.predict_proba(np.load({str(tmp_path / 'R.npy')!r})))\n"
    )
    run_without_torch(code)
    np.testing.assert_array_equal(np.load(tmp_path / "P.npy"), model.predict_proba(data.R))


def test_without_torch_als_works_and_pytorch_names_the_extra():
    code = (
        "from cfens_stack import CFEnsemble\n"
        "from cfens_stack.datasets import make_predictions\n"
        "data = make_predictions(n_samples=100, random_state=0)\n"
        "CFEnsemble().fit(data.R, data.y)\n"
        "try:\n"
        "    CFEnsemble('pytorch').fit(data.R, data.y)\n"
        "except ImportError as error:\n"
        "    assert 'cfens_stack[torch]' in str(error), error\n"
        "else:\n"
        "    raise AssertionError('no ImportError')\n"
    )
    run_without_torch(code)


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a GPU that is absent")
def test_an_absent_gpu_is_a_clear_error(data):
    with pytest.raises(ValueError, match=r"device='cuda' is not available here"):
        CFEnsemble("pytorch", device="cuda").fit(data.R, data.y)


def test_unlabelled_rows_take_part_in_reconstruction_only(data):
    """A missing label is no label: changing what it would have been changes nothing; removing the
    row does.
    """
    y = data.y.astype(float)
    y[300:] = np.nan
    semi = CFEnsemble("pytorch", latent_dim=3).fit(data.R, y)
    only = CFEnsemble("pytorch", latent_dim=3).fit(data.R[:300], data.y[:300])
    assert np.abs(semi.classifier_factors_ - only.classifier_factors_).max() > 1e-4
    assert semi.predict_proba(data.R).shape == (400, 2)


def test_running_out_of_steps_is_not_convergence(data):
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        model = CFEnsemble("pytorch", instance_factors="free", max_iter=1, tol=0.0).fit(
            data.R, data.y
        )
    assert not model.converged_
