"""Pictures are tested on their data, not their pixels."""

import numpy as np
import pytest

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions
from cfens_stack.display import LatentSpaceDisplay, spread


@pytest.fixture(scope="module")
def meta():
    data = make_predictions(n_samples=200, n_models=6, random_state=0)
    return CFEnsemble().fit(data.R, data.y)


def test_latent_space_shows_the_leading_factors_and_the_weights(meta):
    display = LatentSpaceDisplay.from_estimator(meta, names=list("abcdef"))
    np.testing.assert_array_equal(display.factors, meta.classifier_factors_[:, :2])
    np.testing.assert_array_equal(display.weights, meta.coef_)
    assert display.names == list("abcdef")


def test_latent_space_of_a_rank_one_model_lies_on_a_line():
    data = make_predictions(n_samples=200, n_models=6, random_state=0)
    display = LatentSpaceDisplay.from_estimator(CFEnsemble(latent_dim=1).fit(data.R, data.y))
    assert not display.factors[:, 1].any()


def test_wrong_number_of_names(meta):
    with pytest.raises(ValueError, match="names has 2 entries, but the estimator has 6 columns"):
        LatentSpaceDisplay.from_estimator(meta, names=["a", "b"])


def test_plot_labels_every_model(meta):
    matplotlib = pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    display = LatentSpaceDisplay.from_estimator(meta).plot()
    assert [text.get_text() for text in display.ax_.texts] == list("012345")
    pyplot.close(display.ax_.figure)


def test_labels_keep_their_order_and_do_not_overlap():
    heights = np.array([0.0, 1.0, 0.01, 0.02, 0.0])
    placed = spread(heights)
    assert np.all(np.diff(placed[np.argsort(heights, kind="stable")]) >= 0.6 / 4 - 1e-12)
    assert placed.mean() == pytest.approx(heights.mean())
