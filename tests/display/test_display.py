"""Pictures are tested on their data, not their pixels; each is drawn once, and its legends read."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, CFEnsembleSearch, StackingPipeline
from cfens_stack.datasets import make_predictions
from cfens_stack.display import (
    ConvergenceDisplay,
    DisagreementDisplay,
    LatentSpaceDisplay,
    ParetoDisplay,
    ReconstructionDisplay,
    ReliabilityDisplay,
    TrustDisplay,
)
from cfens_stack.display.latent_space import spread
from cfens_stack.display.trust import bootstrap_counts


@pytest.fixture(scope="module")
def data():
    return make_predictions(n_samples=400, n_models=6, missing=0.2, random_state=0)


@pytest.fixture(scope="module")
def meta(data):
    return CFEnsemble().fit(data.R, data.y)


@pytest.fixture
def axes():
    matplotlib = pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot.subplots()[1]
    pyplot.close("all")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_latent_space_shows_the_leading_factors_and_the_weights(meta):
    display = LatentSpaceDisplay.from_estimator(meta, names=list("abcdef"))
    np.testing.assert_array_equal(display.factors, meta.classifier_factors_[:, :2])
    np.testing.assert_array_equal(display.weights, meta.coef_)
    assert display.names == list("abcdef")


def test_latent_space_of_a_rank_one_model_lies_on_a_line(data):
    display = LatentSpaceDisplay.from_estimator(CFEnsemble(latent_dim=1).fit(data.R, data.y))
    assert not display.factors[:, 1].any()


def test_wrong_number_of_names(meta):
    with pytest.raises(ValueError, match="names has 2 entries, but the estimator has 6 columns"):
        LatentSpaceDisplay.from_estimator(meta, names=["a", "b"])


def test_latent_space_labels_every_model(meta, axes):
    display = LatentSpaceDisplay.from_estimator(meta).plot(axes)
    assert [text.get_text() for text in display.ax_.texts] == list("012345")


def test_names_are_no_formulas(meta, data, axes):
    names = ["$a^$", "b$", "c_{", "d", "e", "f"]
    latent = LatentSpaceDisplay.from_estimator(meta, names=names).plot(axes)
    latent.ax_.figure.canvas.draw()
    trust = TrustDisplay.from_estimator(meta, data.R, data.y, n_bootstrap=1, names=names)
    axes.clear()
    trust.plot(axes).ax_.figure.canvas.draw()
    assert trust.names == names


def test_latent_space_shows_negative_weights_in_white(axes):
    display = LatentSpaceDisplay(
        factors=np.eye(3)[:, :2], weights=np.array([1.0, -0.5, 0.0]), names=list("abc")
    )
    points = display.plot(axes).ax_.collections[0]
    np.testing.assert_array_equal(
        points.get_facecolor()[:, :3].min(axis=1) == 1.0, [False, True, False]
    )
    assert np.argsort(points.get_sizes()).tolist() == [2, 1, 0]


def test_labels_keep_their_order_and_do_not_overlap():
    heights = np.array([0.0, 1.0, 0.01, 0.02, 0.0])
    placed = spread(heights)
    assert np.all(np.diff(placed[np.argsort(heights, kind="stable")]) >= 0.6 / 4 - 1e-12)
    assert placed.mean() == pytest.approx(heights.mean())


def test_a_pipeline_is_looked_through_and_gives_the_names():
    X = np.random.default_rng(0).normal(size=(80, 3))
    y = (X[:, 0] + 0.5 * np.random.default_rng(1).normal(size=80) > 0).astype(int)
    stack = StackingPipeline(
        [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2))], random_state=0
    )
    stack.fit(X, np.array(["no", "yes"])[y])
    display = LatentSpaceDisplay.from_estimator(stack)
    assert display.names == ["bayes", "tree"]
    shown = DisagreementDisplay.from_estimator(stack, stack.oof_, np.array(["no", "yes"])[y])
    np.testing.assert_array_equal(shown.right, stack.meta_.predict(stack.oof_frame()) == y)
    curve = ReliabilityDisplay.from_estimator(
        stack, stack.oof_, np.array(["no", "yes"])[y], n_bins=3
    )
    p = stack.meta_.predict_proba(stack.oof_frame())[:, 1]
    assert curve.log_losses["at the training prevalence"] == pytest.approx(log_loss(y, p))


@pytest.fixture(scope="module")
def table():
    """Features, labels in words of which some are missing, and a pipeline fitted on the first 200
    rows.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = np.array(["no", "yes"], dtype=object)[(X[:, 0] + rng.normal(size=300) > 0.5).astype(int)]
    y[::20] = None
    models = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3))]
    return X, y, StackingPipeline(models, cv=3, random_state=0).fit(X[:200], y[:200])


def test_displays_of_a_pipeline_take_features_as_in_scikit_learn(table):
    X, y, stack = table
    X, y = X[200:], y[200:]
    R = stack.base_predictions(X)
    shown = ReconstructionDisplay.from_estimator(stack, X)
    np.testing.assert_array_equal(shown.predicted, R)
    gain = DisagreementDisplay.from_estimator(stack, X, y)
    np.testing.assert_array_equal(gain.gain, DisagreementDisplay.from_estimator(stack, R, y).gain)
    labelled = y != None  # noqa: E711
    np.testing.assert_array_equal(gain.right, (stack.predict(X) == y)[labelled])
    curve = ReliabilityDisplay.from_estimator(stack, X, y, n_bins=3)
    p = stack.predict_proba(X)[labelled, 1]
    assert curve.log_losses["at the training prevalence"] == pytest.approx(
        log_loss(y[labelled] == "yes", p)
    )


def test_trust_of_a_pipeline_refits_the_meta_learner_on_its_own_predictions(table):
    X, y, stack = table
    shown = [
        TrustDisplay.from_estimator(stack, rows, y[:200], n_bootstrap=3, random_state=0)
        for rows in (X[:200], stack.oof_)
    ]
    np.testing.assert_array_equal(shown[0].lower, shown[1].lower)
    np.testing.assert_array_equal(shown[0].weights, stack.meta_.coef_)
    codes = np.array([np.nan if label is None else label == "yes" for label in y[:200]])
    meta = TrustDisplay.from_estimator(
        stack.meta_, stack.oof_frame(), codes, n_bootstrap=3, random_state=0
    )
    np.testing.assert_array_equal(meta.upper, shown[0].upper)


def test_trust_refits_as_the_estimator_was_fitted(data):
    """A callable confidence gets the labels and not their codes; rows of weight 0 stand for no
    class.
    """
    seen = set()

    def confidence(R, y):
        seen.update([] if y is None else np.asarray(y).tolist())
        return np.ones(R.shape)

    words = np.array(["no", "yes"])[data.y]
    v = np.where((data.y == 0) | (np.cumsum(data.y) <= 2), 1.0, 0.0)
    meta = CFEnsemble(confidence=confidence).fit(data.R, words, v)
    display = TrustDisplay.from_estimator(meta, data.R, words, v, n_bootstrap=10, random_state=0)
    assert seen == {"no", "yes"}
    assert np.isfinite(display.lower).all()


def test_trust_refuses_rows_that_the_estimator_was_not_fitted_on(table, meta, data):
    X, y, stack = table
    with pytest.raises(ValueError, match="X has 100 rows, but the pipeline was fitted on 200"):
        TrustDisplay.from_estimator(stack, X[200:], y[200:])
    with pytest.raises(ValueError, match="A refit on these rows gives other weights"):
        TrustDisplay.from_estimator(stack, X[100:], y[100:])
    with pytest.raises(ValueError, match="A refit on these rows gives other weights"):
        TrustDisplay.from_estimator(meta, data.R, data.y, data.y + 1.0)


def test_as_many_features_as_base_models(table):
    """Features then, as in scikit-learn, but for the `oof_` itself; values that may be either bring
    a warning.
    """
    X, y, _ = table
    X = X[:, :2]
    models = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3))]
    stack = StackingPipeline(models, cv=3, random_state=0).fit(X, y)
    R = stack.base_predictions(X)
    np.testing.assert_array_equal(ReconstructionDisplay.from_estimator(stack, X).predicted, R)
    kept = ReconstructionDisplay.from_estimator(stack, stack.oof_.copy()).predicted
    np.testing.assert_array_equal(kept, stack.oof_)
    frame = pd.DataFrame(R, columns=stack.get_feature_names_out())
    np.testing.assert_array_equal(ReconstructionDisplay.from_estimator(stack, frame).predicted, R)
    with pytest.warns(
        UserWarning, match=r"2 columns with values in \[0, 1\], which may be"
    ) as caught:
        shown = ReconstructionDisplay.from_estimator(stack, R).predicted
    np.testing.assert_array_equal(shown, stack.base_predictions(R))
    assert [record.filename for record in caught] == [__file__]


@pytest.mark.parametrize(
    "make", [DisagreementDisplay, ReliabilityDisplay, ReconstructionDisplay, TrustDisplay]
)
def test_features_where_predictions_are_expected(make, meta, data):
    arguments = () if make is ReconstructionDisplay else (data.y,)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="fitted on 6 columns of predictions, but got 9"):
        make.from_estimator(meta, rng.normal(size=(400, 9)), *arguments)
    with pytest.raises(ValueError, match=r"fitted on probabilities, but .* cells lie outside"):
        make.from_estimator(meta, rng.normal(size=(400, 6)), *arguments)
    names = [f"model {u}" for u in range(6)]
    frame = pd.DataFrame(data.R, columns=names)
    named = CFEnsemble().fit(frame, data.y)
    with pytest.raises(ValueError, match="feature names should match"):
        make.from_estimator(named, frame.rename(columns={"model 0": "other"}), *arguments)
    settings = {"n_bootstrap": 2, "random_state": 0} if make is TrustDisplay else {}
    make.from_estimator(named, frame, *arguments, **settings)


def test_rows_without_a_label_are_no_negatives(meta, data):
    y = data.y.astype(float)
    y[200:] = np.nan
    some = ReliabilityDisplay.from_estimator(meta, data.R, y)
    labelled = ReliabilityDisplay.from_estimator(meta, data.R[:200], data.y[:200])
    assert some.log_losses == labelled.log_losses
    with pytest.raises(ValueError, match="y has the label 2, which is not among the classes"):
        ReliabilityDisplay.from_estimator(meta, data.R, data.y * 2)
    with pytest.raises(ValueError, match="y has the label 2, which is not among the classes"):
        DisagreementDisplay.from_estimator(meta, data.R, data.y * 2)


def test_reliability_of_given_probabilities(axes):
    y = np.arange(60) % 3 == 0
    p = {f"prediction {i}": np.linspace(0.01, 0.99, 60) ** (i + 1) for i in range(5)}
    display = ReliabilityDisplay.from_predictions(y, p, n_bins=3).plot(axes)
    assert len(legend(display.ax_)) == 5
    with pytest.raises(ValueError, match="y holds values other than True, False, 1 and 0"):
        ReliabilityDisplay.from_predictions(np.where(y, "a", "b"), p)
    with pytest.raises(ValueError, match="y holds values other than True, False, 1 and 0"):
        ReliabilityDisplay.from_predictions(np.where(y, np.nan, 0.0), p)


def test_masked_cells_are_missing_in_pictures(meta, data):
    masked = np.ma.masked_invalid(data.R)
    np.testing.assert_array_equal(
        ReconstructionDisplay.from_estimator(meta, masked).predicted, data.R
    )


def test_other_meta_learners_have_no_factors(data):
    X = np.nan_to_num(data.R)
    with pytest.raises(TypeError, match="has no latent factors: pass a fitted CFEnsemble"):
        LatentSpaceDisplay.from_estimator(make_pipeline(LogisticRegression()).fit(X, data.y))


def test_trust_intervals_cover_the_refits_and_narrow_with_rows():
    widths = []
    for n in (200, 3200):
        drawn = make_predictions(n_samples=n, n_models=4, random_state=1)
        meta = CFEnsemble(aggregator_reg=1.0).fit(drawn.R, drawn.y)
        display = TrustDisplay.from_estimator(
            meta, drawn.R, drawn.y, n_bootstrap=20, random_state=0
        )
        np.testing.assert_array_equal(display.weights, meta.coef_)
        assert np.all(display.lower <= display.upper)
        widths.append(np.mean(display.upper - display.lower))
    assert widths[1] < 0.6 * widths[0]  # sixteen times the rows: a quarter of the width, roughly


def test_trust_of_the_plain_average_is_equal_and_certain(data, axes):
    meta = CFEnsemble(aggregator="mean").fit(data.R, data.y)
    display = TrustDisplay.from_estimator(meta, data.R, data.y, n_bootstrap=3, random_state=0)
    for found in (display.weights, display.lower, display.upper):
        np.testing.assert_allclose(found, display.average)
    assert len(display.plot(axes).ax_.get_yticks()) == 6


def test_bootstrap_draws_within_each_class_and_among_the_unlabelled():
    codes = np.repeat([-1, 0, 1], [10, 30, 2])
    counts = bootstrap_counts(codes, np.random.RandomState(0))
    assert [counts[codes == code].sum() for code in (-1, 0, 1)] == [10, 30, 2]


def test_convergence_is_the_distance_to_the_lowest_value(meta, axes):
    display = ConvergenceDisplay.from_estimator(meta)
    values = meta.history_["reconstruction"]
    np.testing.assert_allclose(
        display.excess["reconstruction"], values / values.min() - 1, atol=1e-12
    )
    assert display.plot(axes).ax_.get_title() == "Training, converged"


def test_convergence_leaves_out_parts_without_a_value(data):
    display = ConvergenceDisplay.from_estimator(CFEnsemble(aggregator="mean").fit(data.R, data.y))
    assert list(display.excess) == ["reconstruction", "completion"]


def test_reconstruction_marks_missing_cells_and_measures_both_kinds(meta, data, axes):
    complete = make_predictions(n_samples=400, n_models=6, random_state=0).R
    np.testing.assert_array_equal(np.where(np.isnan(data.R), np.nan, complete), data.R)
    display = ReconstructionDisplay.from_estimator(meta, data.R, complete)
    R_hat, missing = meta.reconstruct(data.R), np.isnan(data.R)
    np.testing.assert_array_equal(display.missing, missing)
    assert display.rmse_missing == pytest.approx(np.sqrt(np.mean((R_hat - complete)[missing] ** 2)))
    assert (
        display.rmse_observed < display.rmse_missing
    )  # what was seen is fitted, what was not is guessed
    assert legend(display.plot(axes).ax_)[1].startswith(f"missing, {missing.sum()} cells, RMSE")


def test_reconstruction_without_the_truth_has_nothing_to_compare_missing_cells_with(meta, data):
    assert np.isnan(ReconstructionDisplay.from_estimator(meta, data.R).rmse_missing)
    with pytest.raises(ValueError, match=r"R_complete has shape \(1, 6\)"):
        ReconstructionDisplay.from_estimator(meta, data.R, data.R[:1])
    with pytest.raises(
        ValueError, match="differs from the predictions where these are not missing"
    ):
        ReconstructionDisplay.from_estimator(meta, data.R, data.R[:, ::-1])


def test_disagreement_compares_with_the_plain_average_of_what_is_there(meta, data, axes):
    R, y = data.R.copy(), data.y.astype(float)
    R[0], y[1] = np.nan, np.nan  # nothing to average; no truth
    display = DisagreementDisplay.from_estimator(meta, R, y)
    R, y = R[2:], data.y[2:]
    average, p = np.nanmean(R, axis=1), meta.predict_proba(R)[:, 1]
    gain = np.log(np.where(y == 1, p, 1 - p)) - np.log(np.where(y == 1, average, 1 - average))
    np.testing.assert_allclose(display.gain, gain)
    np.testing.assert_allclose(display.disagreement, np.nanstd(R, axis=1))
    np.testing.assert_array_equal(display.changed, (p > 0.5) != (average > 0.5))
    np.testing.assert_array_equal(display.right, (p > 0.5) == y)
    centre, mean, _ = display.binned(2)
    assert centre[0] < centre[1]
    assert mean.mean() == pytest.approx(gain.mean())
    assert f"class changed rightly: {(display.changed & display.right).sum()}" in legend(
        display.plot(axes).ax_
    )


def test_the_plain_average_of_log_odds_gains_little_where_models_agree():
    R = np.tile(np.linspace(0.1, 0.9, 50)[:, None], 4)
    y = (np.arange(50) % 3 == 0).astype(int)
    meta = CFEnsemble(aggregator="mean", smoothing=1e-6, lambda_reg=1e-9).fit(R, y)
    display = DisagreementDisplay.from_estimator(meta, R, y)
    np.testing.assert_allclose(display.gain, 0.0, atol=1e-5)
    np.testing.assert_allclose(display.disagreement, 0.0, atol=1e-12)


def test_disagreement_of_several_classes():
    drawn = make_predictions(
        n_samples=300, n_models=5, n_classes=3, weights=[0.5, 0.3, 0.2], random_state=0
    )
    meta = CFEnsemble().fit(drawn.R, drawn.y)
    display = DisagreementDisplay.from_estimator(meta, drawn.R, drawn.y)
    P = drawn.R.reshape(300, 5, 3)
    rows = np.arange(300)
    np.testing.assert_allclose(display.disagreement, P[rows, :, drawn.y].std(axis=1))
    expected = -np.log(P.mean(axis=1)[rows, drawn.y]) + np.log(
        meta.predict_proba(drawn.R)[rows, drawn.y]
    )
    np.testing.assert_allclose(display.gain, expected)


def test_scores_have_no_plain_average(data):
    R = np.nan_to_num(data.R) * 10 - 5
    meta = CFEnsemble().fit(R, data.y)
    with pytest.raises(ValueError, match="scores, not probabilities"):
        DisagreementDisplay.from_estimator(meta, R, data.y)
    assert (
        TrustDisplay.from_estimator(meta, R, data.y, n_bootstrap=2, random_state=0).average is None
    )


def test_reliability_before_and_after_the_correction(data, axes):
    meta = CFEnsemble(use_class_weights=True).fit(data.R, data.y)
    display = ReliabilityDisplay.from_estimator(meta, data.R, data.y, n_bins=5)
    tilted = meta.set_params(posterior="weighted").predict_proba(data.R)[:, 1]
    expected = calibration_curve(data.y, tilted, n_bins=5, strategy="quantile")
    np.testing.assert_array_equal(display.curves["as trained"], expected)
    assert display.log_losses["at the training prevalence"] < display.log_losses["as trained"]
    assert meta.posterior == "weighted"  # what it was set to, the display has not changed it
    assert len(legend(display.plot(axes).ax_)) == 2


def test_reliability_needs_a_class_where_there_are_several():
    drawn = make_predictions(n_samples=300, n_models=5, n_classes=3, random_state=0)
    meta = CFEnsemble().fit(drawn.R, drawn.y)
    with pytest.raises(ValueError, match="There are 3 classes: pass pos_label"):
        ReliabilityDisplay.from_estimator(meta, drawn.R, drawn.y)
    with pytest.raises(ValueError, match="pos_label=7 is not a class"):
        ReliabilityDisplay.from_estimator(meta, drawn.R, drawn.y, pos_label=7)
    display = ReliabilityDisplay.from_estimator(meta, drawn.R, drawn.y, pos_label=2)
    p = display.probabilities["at the training prevalence"]
    np.testing.assert_array_equal(p, meta.predict_proba(drawn.R)[:, 2])


def test_pareto_front_is_drawn_through_what_no_trial_beats(axes):
    aims = ("average_precision", "neg_log_loss")
    drawn = make_predictions(n_samples=200, n_models=4, random_state=0)
    search = CFEnsembleSearch(6, cv=3, scoring=aims, random_state=0).fit(drawn.R, drawn.y)
    display = ParetoDisplay.from_estimator(search).plot(axes)
    assert display.names == aims
    for value, is_front in zip(display.values, display.front, strict=True):
        is_beaten = np.all(display.values >= value, axis=1) & np.any(display.values > value, axis=1)
        assert is_front != is_beaten.any()
    line = display.ax_.lines[1].get_xydata()
    assert np.all(np.diff(line[:, 0]) >= 0)
    assert len(line) == display.front.sum()
    one = CFEnsembleSearch(1, cv=3, random_state=0).fit(drawn.R, drawn.y)
    with pytest.raises(ValueError, match="'average_precision' alone"):
        ParetoDisplay.from_estimator(one)
