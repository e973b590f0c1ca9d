"""The decision guide: its figures against brute force, its tree, and what it hands on to
CFEnsemble.
"""

from dataclasses import FrozenInstanceError, replace
from html.parser import HTMLParser
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from cfens_stack import CFEnsemble, recommend
from cfens_stack.datasets import make_predictions
from cfens_stack.guide.guidance import HIGH_DISAGREEMENT, TRAINERS
from cfens_stack.guide.measured import MEASURED, Evidence

N_MODELS = 6
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


def labels(n_positive, n=100):
    return (np.arange(n) < n_positive).astype(int)


def agreeing(n=100):
    """Models that all say the same, and not only 0 or 1."""
    return np.repeat(np.linspace(0.1, 0.9, n)[:, None], N_MODELS, axis=1)


def split(n=100):
    """Half of the models are certain of one class, half of the other, in every row."""
    return np.tile(
        [0.0, 0.0, 1.0, 1.0, 0.0, 1.0], (n, 1)
    )  # no neighbours or halves that sum to 1: one column per model


def simplex(n, n_models, n_classes, seed=0):
    """Probabilities of K classes, model-major."""
    return np.random.default_rng(seed).dirichlet(np.ones(n_classes), (n, n_models)).reshape(n, -1)


def disagreement_of_each_row(R, n_classes):
    """Variance between models, and the variance of an outcome drawn from their average, by
    loops.
    """
    for row in R:
        between = total = 0.0
        for k in range(n_classes):
            seen = [r for r in row[k::n_classes] if not np.isnan(r)]
            if seen:
                between += np.var(seen)
                total += np.mean(seen) * (1.0 - np.mean(seen))
        yield between, total


def test_disagreement_is_zero_for_one_opinion_and_one_for_certain_and_opposed_models():
    assert recommend(agreeing(), labels(30)).disagreement == pytest.approx(0.0, abs=1e-12)
    assert recommend(split(), labels(30)).disagreement == 1.0
    certain = np.repeat(
        labels(30)[:, None], N_MODELS, axis=1
    )  # no variance at all, within or between
    assert recommend(certain, labels(30)).disagreement == 0.0


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_disagreement_agrees_with_brute_force(n_classes, missing):
    rng = np.random.default_rng(1)
    R = rng.uniform(size=(60, N_MODELS)) if n_classes == 2 else simplex(60, N_MODELS, n_classes)
    R[rng.uniform(size=R.shape) < missing] = np.nan
    v = rng.integers(1, 4, 60)
    between, total = v @ np.array(
        list(disagreement_of_each_row(R, 1 if n_classes == 2 else n_classes))
    )
    found = recommend(
        R, np.arange(60) % n_classes, v, layout="positive" if n_classes == 2 else "model-major"
    )
    assert found.disagreement == pytest.approx(between / total, rel=1e-12)


def test_figures_do_not_depend_on_order_redundant_columns_or_how_weights_are_written():
    data = make_predictions(n_samples=200, n_models=N_MODELS, missing=0.3, random_state=0)
    R, rng = data.R, np.random.default_rng(0)
    y = np.where(rng.uniform(size=200) < 0.5, data.y, np.nan)
    v = rng.integers(0, 3, 200)
    first = recommend(R, y, v)
    figures = ["imbalance", "disagreement", "labelled_share", "missing_share"]
    rows, columns = rng.permutation(200), rng.permutation(N_MODELS)
    both = np.stack([1.0 - R, R], axis=2).reshape(200, -1)
    for other in (
        recommend(np.repeat(R, v, axis=0), np.repeat(y, v)),
        recommend(R[rows][:, columns], y[rows], v[rows]),
        recommend(both, y, v),
        recommend(pd.DataFrame(R), pd.Series(y, dtype="Int64"), v),
    ):
        assert [getattr(other, f) for f in figures] == pytest.approx(
            [getattr(first, f) for f in figures], rel=1e-12
        )
        assert (other.n_models, other.n_columns, other.n_classes) == (N_MODELS, N_MODELS, 2)


def test_shares_count_rows_and_cells():
    R = agreeing()
    R[:30, :2] = np.nan
    y = np.where(np.arange(100) < 40, labels(10), np.nan)
    found = recommend(R, y)
    assert found.imbalance == pytest.approx(10 / 40)
    assert found.labelled_share == pytest.approx(0.4)
    assert found.missing_share == pytest.approx(60 / 600)
    several = recommend(simplex(100, N_MODELS, 3), np.arange(100) % 3)
    assert (several.n_rows, several.n_models, several.n_columns, several.n_classes) == (
        100,
        N_MODELS,
        3 * N_MODELS,
        3,
    )


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("n_positive", [19, 20])
@pytest.mark.parametrize("high", [False, True])
def test_tree(trainer, n_positive, high):
    rare = n_positive < 20  # imbalanced is below 0.2, and not at it
    guidance = recommend(split() if high else agreeing(), labels(n_positive))
    assert guidance.branch == (
        "imbalanced" if rare else "balanced",
        "high disagreement" if high else "low disagreement",
    )
    params = guidance.params(trainer)
    assert params["trainer"] == trainer
    assert params["use_class_weights"] is rare
    assert params["use_label_aware_confidence"] is (rare and trainer == "als")
    assert params["focal_gamma"] == (2.0 if high else 0.0)


def test_threshold_itself_counts_as_high():
    guidance = replace(recommend(agreeing(), labels(30)), disagreement=HIGH_DISAGREEMENT)
    assert guidance.is_high_disagreement
    assert not replace(guidance, disagreement=HIGH_DISAGREEMENT - 1e-9).is_high_disagreement


@pytest.mark.parametrize(("rarest", "imbalanced"), [(13, True), (14, False)])
def test_several_classes_are_imbalanced_below_the_share_that_als_takes(rarest, imbalanced):
    y = np.repeat([0, 1, 2], [rarest, 40, 60 - rarest])  # 0.4 / 3 = 0.1333
    R = simplex(100, N_MODELS, 3)
    guidance = recommend(R, y)
    assert guidance.is_imbalanced is imbalanced
    auto, stated = (
        CFEnsemble(use_label_aware_confidence=switch, rho=0.0).fit(R, y)
        for switch in ("auto", imbalanced)
    )
    np.testing.assert_array_equal(auto.classifier_factors_, stated.classifier_factors_)


def test_fewer_labels_mean_more_reconstruction():
    R, y = agreeing(), labels(50).astype(float)
    found = []
    for hidden in (0, 20, 45):
        partial = np.where(np.abs(np.arange(100) - 49.5) < hidden, np.nan, y)
        found.append(recommend(R, partial).params()["rho"])
    assert found[0] == 0.5
    assert 0.5 < found[1] < found[2] < 1.0


def test_scores_have_no_disagreement_and_get_no_focal_loss():
    guidance = recommend(10.0 * split() - 5.0, labels(10))
    assert np.isnan(guidance.disagreement)
    assert guidance.branch == ("imbalanced", "scores")
    assert guidance.params()["focal_gamma"] == 0.0
    assert "scores" in str(guidance)


@pytest.mark.parametrize("trainer", ["als", pytest.param("pytorch", marks=needs_torch)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_advice_fits_as_it_stands(trainer, n_classes):
    R = split(60) if n_classes == 2 else simplex(60, N_MODELS, n_classes)
    y = np.minimum(np.arange(60) % 12, n_classes - 1)
    guidance = recommend(R, y)
    assert guidance.is_imbalanced
    meta = guidance.estimator(trainer).fit(R, y)
    assert meta.get_params() == CFEnsemble(**guidance.params(trainer)).get_params()
    assert np.isfinite(meta.predict_proba(R)).all()


def test_overrides_win_and_the_stated_layout_is_passed_on():
    guidance = recommend(agreeing(), labels(10), layout="positive", prefer="exactness")
    meta = guidance.estimator(rho=0.9, latent_dim=2)
    assert (meta.trainer, meta.layout, meta.rho, meta.latent_dim) == ("pytorch", "positive", 0.9, 2)
    assert meta.use_class_weights
    assert "layout" not in recommend(agreeing(), labels(10)).params()


def test_tree_is_drawn_with_the_path_taken():
    drawn = str(recommend(split(), labels(30)))
    taken = [line for line in drawn.splitlines() if "==>" in line]
    assert len(taken) == 3
    for line, words in zip(taken, ("neither class weights", "focal_gamma=2", "'als'"), strict=True):
        assert words in line
    assert drawn.isascii()


def test_every_switch_turned_on_comes_with_its_reason_and_its_evidence():
    guidance = recommend(split(), labels(10))
    assert set(guidance.evidence) == {
        "use_label_aware_confidence",
        "use_class_weights",
        "focal_gamma",
    }
    exact = replace(guidance, trainer="pytorch")
    assert set(exact.evidence) == {"use_class_weights", "focal_gamma"}
    assert not recommend(agreeing(), labels(30)).evidence
    for effect in guidance.evidence.values():
        assert any(str(effect) in reason for reason in guidance.reasons)


@pytest.mark.parametrize(
    ("average_precision", "log_loss", "verdict"),
    [
        ((0.01, 0.01), (0.00, 1.00), "helps"),
        ((0.00, 1.00), (-0.01, 0.01), "helps"),
        ((-0.01, 0.01), (-0.01, 0.2), "costs"),
        ((0.01, 0.20), (0.01, 0.01), "costs"),
        ((0.01, 0.01), (0.01, 0.01), "no clear effect"),
        ((0.0001, 0.01), (0.01, 0.06), "no clear effect"),
    ],
)
def test_verdict_needs_a_significant_change_that_is_large_enough(
    average_precision, log_loss, verdict
):
    assert (
        Evidence(
            *average_precision, *log_loss, balanced_accuracy=0.1, p_balanced_accuracy=0.0
        ).verdict
        == verdict
    )


def test_html_says_what_the_text_says():
    class Text(HTMLParser):
        def __init__(self):
            super().__init__()
            self.text = ""

        def handle_data(self, data):
            self.text += data

    guidance = recommend(split(), labels(10))
    parser = Text()
    parser.feed(guidance._repr_html_())
    tree = str(guidance).partition("\n- ")[0]
    assert parser.text == tree + "".join(guidance.reasons)


def test_guidance_is_frozen():
    guidance = recommend(agreeing(), labels(10))
    with pytest.raises(FrozenInstanceError):
        guidance.trainer = "pytorch"


def with_cell(value):
    R = agreeing()
    R[0, 0] = value
    return R


@pytest.mark.parametrize(
    ("R", "y", "options", "message"),
    [
        (agreeing(), labels(0), {}, "one class only"),
        (agreeing(), np.full(100, np.nan), {}, "no label"),
        (agreeing(), labels(10, n=99), {}, "inconsistent numbers of samples"),
        (with_cell(np.inf), labels(10), {}, "infinity"),
        (np.full((100, 3), np.nan), labels(10), {}, "no prediction at all"),
        (agreeing(), labels(10), {"sample_weight": -np.ones(100)}, "Negative values"),
        (agreeing(), labels(10), {"sample_weight": 1.0 - labels(10)}, "total weight of 0"),
        (agreeing()[:, :5], labels(10), {"layout": "model-major"}, "multiple of 2"),
        (agreeing(), labels(10), {"layout": "columns"}, "'layout' parameter"),
        (agreeing(), labels(10), {"prefer": "gpu"}, "'prefer' parameter"),
    ],
)
def test_bad_input_is_named(R, y, options, message):
    with pytest.raises(ValueError, match=message):
        recommend(R, y, **options)


@pytest.mark.parametrize("prefer", ["speed", "exactness"])
def test_the_measured_guide_is_what_measured_best_and_both_say_what_they_were_worth(prefer):
    R, y = split(), labels(10)
    published = recommend(R, y, prefer=prefer)
    measured = recommend(R, y, prefer=prefer, guide="measured")
    assert published.params()["use_class_weights"]
    assert published.params()["focal_gamma"] > 0
    assert not measured.params()["use_class_weights"]
    assert measured.params()["focal_gamma"] == 0
    assert measured == published.following("measured")
    assert not {"use_class_weights", "focal_gamma"} & set(measured.evidence)
    assert published.worth in published.reasons
    assert measured.worth in measured.reasons
    gain = -MEASURED[published.trainer, "advice"].average_precision
    assert f"average precision by {-gain:+.4f}" in published.worth
    assert f"average precision by {gain:+.4f}" in measured.worth
    assert "imbalanced" in published.branch
    assert "below" not in str(measured)  # it does not ask what changes nothing


def test_where_both_guides_agree_they_say_so():
    guidance = recommend(agreeing(), labels(40))
    assert guidance.params() == guidance.following("measured").params()
    assert "advise the same" in guidance.worth


def test_the_measured_advice_is_the_default_configuration():
    data = make_predictions(n_samples=200, n_models=5, random_state=0)
    advised = recommend(data.R, data.y, guide="measured").estimator()
    np.testing.assert_array_equal(
        advised.fit(data.R, data.y).predict_proba(data.R),
        CFEnsemble().fit(data.R, data.y).predict_proba(data.R),
    )


def test_the_share_of_the_positive_class():
    y = np.array(["fraud", "ok"])[labels(70)]
    assert recommend(agreeing(), y).positive_share == pytest.approx(0.7)
    assert recommend(agreeing(), y, pos_label="fraud").positive_share == pytest.approx(0.3)
    with pytest.raises(ValueError, match="guide='best' is not valid"):
        recommend(agreeing(), y).following("best")
