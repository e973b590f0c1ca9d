"""Base models for the tests that fail, count or record; in a module of their own so that worker
processes find them.
"""

import os
import signal
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.naive_bayes import GaussianNB
from threadpoolctl import threadpool_info

if os.name == "posix":
    import resource


class Classifier(ClassifierMixin, BaseEstimator):
    """Gaussian naive Bayes, the base of the others."""

    def fit(self, X, y):
        self.model_ = GaussianNB().fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X)

    def predict(self, X):
        return self.model_.predict(X)


class Misbehaving(Classifier):
    """Fails in the fold that does not train on the row whose first column is `row`; None: in the
    fit on n_rows.
    """

    def __init__(self, how, row=0.0, n_rows=None):
        self.how = how
        self.row = row
        self.n_rows = n_rows

    def fit(self, X, y):
        self.bad_ = len(X) == self.n_rows if self.row is None else self.row not in X[:, 0]
        if self.bad_ and self.how == "raise":
            raise RuntimeError("boom")
        if self.bad_ and self.how == "exit":
            raise SystemExit(3)
        if self.bad_ and self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.bad_ and self.how == "abort":
            os._exit(3)
        if self.bad_ and self.how == "memory":
            with limited_memory(2**26):
                self.hoard_ = np.ones(2**27)
        if self.bad_ and self.how == "time":
            with limited_time(0.1):
                time.sleep(600)
        if self.bad_ and self.how == "unpicklable":
            self.lock_ = (row for row in X)
        super().fit(X, y)
        if self.bad_ and self.how == "classes":
            self.classes_ = np.array(["no", "yes"])
        return self

    def predict_proba(self, X):
        P = super().predict_proba(X)
        if self.bad_ and self.how in ("nan", "inf"):
            P[::2] = float(self.how)
        if self.bad_ and self.how == "sums":
            P[::2] *= 1.5
        return P[:-1] if self.bad_ and self.how == "shape" else P


@contextmanager
def limited_memory(n_bytes):
    """At most n_bytes more than the process has, as a container or a careful model would have
    it.
    """
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (psutil.Process().memory_info().vms + n_bytes, limits[1])
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@contextmanager
def limited_time(seconds):
    """A model's limit on its own time."""

    def end(*_):
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Blocking(Classifier):
    """Hangs where row 0 is held out, the first `times` times, after it has left a file named after
    its process.
    """

    def __init__(self, signs, times):
        self.signs = signs
        self.times = times

    def fit(self, X, y):
        if 0.0 not in X[:, 0] and len(os.listdir(self.signs)) < self.times:
            Path(self.signs, str(os.getpid())).touch()
            time.sleep(600)
        return super().fit(X, y)


class Counting(Classifier):
    """Leaves a file in the folder `log` for each fit; after FITS_LEFT of them the environment makes
    it raise or die.
    """

    def __init__(self, log, tag=None):
        self.log = log
        self.tag = tag

    def fit(self, X, y):
        if n_fits(self.log) >= int(os.environ.get("FITS_LEFT", 1000)):
            if os.environ["THEN"] == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("boom")
        Path(self.log, uuid.uuid4().hex).touch()
        return super().fit(X, y)


def n_fits(log):
    """Fits that `Counting` models have left files of."""
    return len(os.listdir(log))


class Recording(Classifier):
    """Keeps what it was given: the table's type and column types, weights, threads in use."""

    def fit(self, X, y, sample_weight=None):
        self.table_ = type(X)
        self.column_types_ = [str(kind) for kind in getattr(X, "dtypes", [])]
        self.sample_weight_ = sample_weight
        self.threads_ = max(pool["num_threads"] for pool in threadpool_info())
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        assert type(X) is self.table_
        assert [str(kind) for kind in getattr(X, "dtypes", [])] == self.column_types_
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))
