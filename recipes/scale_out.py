"""Do fits on a Dask cluster give the same as in this process, and what does the cluster cost?

Base-model fits and a fit over row partitions, both ways. Starts a cluster of worker processes on
this machine; --scheduler takes the address of another one. Prints a table with seconds and the
largest difference of the predictions, and for the partitions how often the fit waits for the
cluster and what the workers hold. Takes half a minute on an idle machine.
"""

import argparse
import time

import joblib
import numpy as np
import pandas as pd
from dask.distributed import Client, LocalCluster
from distributed.diagnostics import MemorySampler
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.partitions import fit_partitions


class Counted:
    """A client that counts how often a fit waits for it."""

    def __init__(self, client):
        self.client, self.waits = client, 0
        self.map = client.map

    def gather(self, results):
        self.waits += 1
        return self.client.gather(results)


def timed(function):
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def base_models(n):
    """The same StackingPipeline here and with its fits on the workers."""
    X, y = make_classification(n, n_features=20, n_informative=8, weights=[0.9], random_state=0)
    models = [GaussianNB(), LogisticRegression(max_iter=1000), DecisionTreeClassifier(max_depth=8)]

    def fit(n_jobs):
        return StackingPipeline(models, n_jobs=n_jobs, random_state=0).fit(X, y)

    here, seconds_here = timed(lambda: fit(1))
    with joblib.parallel_config("dask"):
        there, seconds_there = timed(lambda: fit(-1))
    return seconds_here, seconds_there, np.abs(here.oof_ - there.oof_).max()


def partitions(n, n_parts, client):
    """The same CFEnsemble on R in memory and on R in parts on the workers; what the cluster costs,
    in words.
    """
    data = make_predictions(n_samples=n, n_models=20, missing=0.1, random_state=0)
    parts = client.scatter(np.array_split(data.R, n_parts))  # rows in turn: the order of y
    here, seconds_here = timed(lambda: CFEnsemble().fit(data.R, data.y))
    counted, memory = Counted(client), MemorySampler()
    with memory.sample("fit", client=client, measure="process", interval=0.1):
        there, seconds_there = timed(
            lambda: fit_partitions(CFEnsemble(), parts, data.y, client=counted)
        )
    held = memory.to_pandas()["fit"]
    cost = (
        f"{counted.waits} waits, {1000 * seconds_there / counted.waits:.0f} ms each; processes of "
        f"all workers held {held.iloc[0] / 2**20:.0f} MiB before the fit, of which R is "
        f"{data.R.nbytes / 2**20:.0f} MiB, and {held.max() / 2**20:.0f} MiB at most."
    )
    difference = np.abs(
        here.predict_proba(data.R[:10_000]) - there.predict_proba(data.R[:10_000])
    ).max()
    return (seconds_here, seconds_there, difference), cost


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scheduler", help="address of a running cluster, such as tcp://host:8786")
    parser.add_argument(
        "--workers", type=int, default=2, help="worker processes of the cluster on this machine"
    )
    parser.add_argument("--rows", type=int, default=100_000)
    arguments = parser.parse_args()
    local = {"n_workers": arguments.workers, "threads_per_worker": 1, "dashboard_address": None}
    cluster = arguments.scheduler or LocalCluster(**local)
    with Client(cluster) as client:
        apart, cost = partitions(arguments.rows, 2 * arguments.workers, client)
        rows = [
            ("StackingPipeline, 3 models", *base_models(arguments.rows)),
            ("CFEnsemble, 20 models", *apart),
        ]
        columns = ["fit", "seconds here", "seconds on Dask", "largest difference"]
        print(f"{arguments.rows} rows")
        print(
            pd.DataFrame(rows, columns=columns).to_string(index=False, float_format="{:.3g}".format)
        )
        print(f"The fit of CFEnsemble over partitions: {cost}")
    if not arguments.scheduler:
        cluster.close()


if __name__ == "__main__":
    main()
