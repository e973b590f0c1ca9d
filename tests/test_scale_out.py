"""Fits on a real Dask cluster of two worker processes, one of which is killed."""

import os
import signal
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from documents import blocks, run
from numpy.testing import assert_allclose
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.partitions import fit_partitions

distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")


class KillsItsWorkerOnce(GaussianNB):
    """Naive Bayes whose first fit that finds no file `mark` takes its process with it."""

    def __init__(self, mark="", priors=None, var_smoothing=1e-9):
        super().__init__(priors=priors, var_smoothing=var_smoothing)
        self.mark = mark

    def fit(self, X, y, sample_weight=None):
        if not Path(self.mark).exists():
            Path(self.mark).write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y, sample_weight)


@pytest.fixture(scope="module")
def client():
    # A killed worker shows in warnings and logs, which is no fault of the code tested here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        )
        with cluster, distributed.Client(cluster) as client:
            yield client


def test_pipeline_on_dask_survives_a_killed_worker(client, tmp_path):
    X, y = make_classification(300, weights=[0.8], random_state=0)
    mark = tmp_path / "killed"
    models = [
        ("bayes", KillsItsWorkerOnce(str(mark))),
        ("logistic", LogisticRegression(max_iter=1000)),
        ("tree", DecisionTreeClassifier(max_depth=4)),
    ]
    stack = StackingPipeline(models, random_state=0, n_jobs=2)
    with joblib.parallel_config("dask"):
        on_dask = stack.fit(X, y)
    assert int(mark.read_text()) != os.getpid()
    assert on_dask.failures_ == []
    local = StackingPipeline(models, random_state=0).fit(
        X, y
    )  # the mark is there: nothing is killed
    assert np.isfinite(on_dask.oof_).all()
    assert_allclose(on_dask.oof_, local.oof_, rtol=0, atol=1e-10)
    assert_allclose(on_dask.predict_proba(X), local.predict_proba(X), rtol=0, atol=1e-10)


@pytest.mark.parametrize("as_dask_array", [False, True])
def test_fit_over_partitions_on_dask_is_the_fit_in_memory(client, as_dask_array):
    data = make_predictions(n_samples=900, n_models=8, missing=0.2, random_state=0)
    parts = np.split(data.R, [200, 500])
    if as_dask_array:
        parts = pytest.importorskip("dask.array").from_array(data.R, chunks=(300, 4))
    whole = CFEnsemble(latent_dim=4, aggregator_reg=10.0).fit(data.R, data.y)
    model = fit_partitions(
        CFEnsemble(latent_dim=4, aggregator_reg=10.0), parts, data.y, client=client
    )
    assert_allclose(model.coef_, whole.coef_, rtol=1e-8, atol=1e-8)
    assert_allclose(model.predict_proba(data.R), whole.predict_proba(data.R), rtol=0, atol=1e-8)


def test_the_code_of_the_page_runs(client, tmp_path, monkeypatch):
    data = make_predictions(600, 5, random_state=0)
    names = {
        "X": data.R,
        "y": data.y,
        "models": [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier())],
    }
    names["R"] = pytest.importorskip("dask.array").from_array(data.R, chunks=(200, 5))
    pages = list(blocks("docs/scale_out.md"))
    monkeypatch.chdir(tmp_path)
    np.save("predictions.npy", data.R)
    for code in pages:
        run(
            "docs/scale_out.md",
            code.replace("tcp://scheduler:8786", client.scheduler.address),
            names,
        )
    names["client"].close()
    here = CFEnsemble().fit(data.R, data.y).predict_proba(data.R)
    assert_allclose(names["P"].compute(), here, atol=1e-8)
