"""What breaks in a worker or from outside: a clear outcome, nothing finished lost, no process or
file left. Each test is named in fault_cases.py.
"""

import os
import signal
import warnings

import numpy as np
import pytest
from failing_models import Blocking, Classifier, Counting, Misbehaving, n_fits
from running import running
from sklearn.model_selection import StratifiedKFold

from cfens_stack import BaseModelWarning, CFEnsemble, CFEnsembleSearch, StackingPipeline
from cfens_stack.datasets import make_predictions
from cfens_stack.search.storage import open_storage

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")

DATA = make_predictions(200, 5, random_state=0)
CV = StratifiedKFold(2)


def numbered_rows(n=120):
    """Rows whose first column is their number, so that a model can see which fold it is in."""
    y = np.arange(n) % 2
    X = np.random.default_rng(0).normal(size=(n, 4)) + y[:, None]
    X[:, 0] = np.arange(n)
    return X, y


# Base models in a worker


BREAKDOWNS = {
    "raise": "RuntimeError: boom",
    "exit": "SystemExit: 3",
    "abort": "the process that fitted it died",
    "memory": "MemoryError: Unable to allocate 1.00 GiB",
    "time": "TimeoutError: more than 0.1 s",
    "shape": r"predict_proba returned shape \(39, 2\), but 40 rows and 2 classes make \(40, 2\)",
    "classes": "its classes_ are .*'no'.*, not among the codes 0 to 1",
    "nan": "20 of 40 predictions are NaN or infinite",
    "sums": (
        "predict_proba returned rows that are negative or do not sum to 1, 20 of 40, the first of "
        "them"
    ),
}


@pytest.mark.parametrize("how", BREAKDOWNS)
def test_a_base_model_that_breaks_in_a_worker_loses_its_cells_only(how):
    X, y = numbered_rows()
    models = [Classifier(), Misbehaving(how), Classifier()]
    with pytest.warns(
        BaseModelWarning, match=f"(?s)'misbehaving', fold . .*{BREAKDOWNS[how]}"
    ) as caught:
        fitted = StackingPipeline(models, cv=3, n_jobs=2, random_state=0).fit(X, y)
    assert len(caught) == len(fitted.failures_) == 1
    healthy = StackingPipeline([Classifier()], cv=3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(fitted.oof_[:, [0, 2]], healthy.oof_[:, [0, 0]])
    assert np.isnan(fitted.oof_[:, 1]).sum() == (20 if how == "nan" else 40)
    assert np.isfinite(fitted.predict_proba(X)).all()


# Workers and runs that are killed or interrupted

FIT = """
import sys
from failing_models import Blocking, Counting
from test_faults import fit_blocking
if __name__ == "__main__":
    fit_blocking(*sys.argv[1:])
"""


def fit_blocking(folder, n_jobs, times):
    """A fit with a model that hangs; its predictions and failures into a file."""
    X, y = numbered_rows()
    models = [Counting(f"{folder}/log"), Blocking(f"{folder}/signs", int(times))]
    fitted = StackingPipeline(models, cv=3, n_jobs=int(n_jobs), memory=f"{folder}/cache").fit(X, y)
    np.savez(
        f"{folder}/fitted", oof=fitted.oof_, failures=[str(failure) for failure in fitted.failures_]
    )


@pytest.fixture
def folder(tmp_path):
    for name in ("log", "signs"):
        (tmp_path / name).mkdir()
    return tmp_path


def hanging(folder, nth=1):
    """Process in which the model hangs for the nth time, once the other worker has stored the six
    fits up to the last one of the sound model: fits run fold by fold, those on all rows at last.
    """
    stored = list((folder / "cache").rglob("output.pkl"))
    pids = sorted((folder / "signs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return int(pids[nth - 1].name) if len(pids) >= nth and len(stored) >= 6 else None


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGKILL"])
def test_a_fit_that_is_ended_leaves_what_is_finished_and_nothing_else(folder, how):
    with running(FIT, folder, folder, 2, 1) as run:
        run.wait_for(lambda: hanging(folder))
        if how == "Ctrl-C":
            run.interrupt()
        else:
            run.process.kill()
        assert run.end() == (-signal.SIGINT if how == "Ctrl-C" else -signal.SIGKILL)
        assert ("KeyboardInterrupt" in run.errors()) == (how == "Ctrl-C")
    assert n_fits(folder / "log") == 4
    fit_blocking(folder, 1, 1)
    assert n_fits(folder / "log") == 4  # none twice
    assert np.isfinite(np.load(folder / "fitted.npz")["oof"]).all()


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_is_killed_from_outside(folder, times):
    """The fits that were on their way are tried again alone; one that then hangs and is killed
    again is given up.
    """
    with running(FIT, folder, folder, 2, times) as run:
        for nth in range(1, times + 1):
            os.kill(run.wait_for(lambda nth=nth: hanging(folder, nth)), signal.SIGKILL)
        assert run.end() == 0, run.errors()
    fitted = np.load(folder / "fitted.npz")
    assert n_fits(folder / "log") == 4
    if times == 1:
        assert np.isfinite(fitted["oof"]).all()
    else:
        assert np.isnan(fitted["oof"]).sum() == 40
        (failure,) = fitted["failures"]
        assert "'blocking', fold" in failure
        assert "the process that fitted it died" in failure


# Searches that are killed or interrupted

SEARCH = """
import sys
from test_faults import search_blocking
if __name__ == "__main__":
    search_blocking(*sys.argv[1:])
"""


def search_blocking(folder, who="", n_jobs=2):
    """Eight trials by two processes, of which all, or the helper only, hang at some time."""
    main = os.getpid()

    def scorer(estimator, R, y):
        import time
        import uuid
        from pathlib import Path

        Path(folder, "log", uuid.uuid4().hex).touch()
        is_helper = os.getpid() != main
        if n_fits(f"{folder}/log") > 4 if who == "all" else who == "helper" and is_helper:
            Path(folder, "signs", str(os.getpid())).touch()
            time.sleep(600)
        while who == "helper" and not os.listdir(f"{folder}/signs"):
            time.sleep(0.02)
        return float(np.log(estimator.lambda_reg))

    search = CFEnsembleSearch(
        8,
        cv=CV,
        scoring=scorer,
        storage=f"journal://{folder}/trials",
        study_name="s",
        random_state=0,
        n_jobs=n_jobs,
    )
    return search.fit(DATA.R, DATA.y).study_.trials


def finished(trials):
    return [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]


def stored_trials(folder):
    return open_storage(f"journal://{folder}/trials").get_all_trials(0)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGKILL"])
def test_a_search_that_is_ended_can_be_continued(folder, how):
    with running(SEARCH, folder, folder, "all") as run:
        run.wait_for(lambda: len(os.listdir(folder / "signs")) == 2)
        if how == "Ctrl-C":
            run.interrupt()
            assert run.end() == 0  # goes on with what is finished
            assert "Interrupted: going on with the" in run.errors()
        else:
            run.process.kill()
            assert run.end() == -signal.SIGKILL
    before = finished(stored_trials(folder))
    assert before
    after = search_blocking(folder, n_jobs=1)
    assert [after[trial.number] for trial in before] == before
    assert len(finished(after)) == 8


def test_a_helper_of_a_search_that_is_killed_is_done_without(folder):
    with running(SEARCH, folder, folder, "helper") as run:
        (pid,) = run.wait_for(lambda: os.listdir(folder / "signs"))
        os.kill(int(pid), signal.SIGKILL)
        assert run.end() == 0, run.errors()
        assert "Its work will be redone" in run.errors()
    trials = stored_trials(folder)
    assert len(finished(trials)) == 8
    assert not [trial for trial in trials if trial.state.name == "RUNNING"]


# A full disk

LIMITED = """
import resource, sys
import test_faults
if __name__ == "__main__":
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    getattr(test_faults, sys.argv[2])(*sys.argv[3:])
"""


def fit_cached(folder, n_jobs=1):
    X, y = numbered_rows(3000)
    models = [Counting(f"{folder}/log"), Classifier()]
    fitted = StackingPipeline(models, cv=3, n_jobs=int(n_jobs), memory=f"{folder}/cache").fit(X, y)
    assert fitted.failures_ == []
    return fitted.oof_


def test_a_full_disk_while_caching_costs_the_cache_only(folder):
    with running(LIMITED, folder, 4000, "fit_cached", folder, 2) as run:
        assert run.end() == 0, run.errors()
        assert "Unable to cache to disk" in run.errors()
    assert n_fits(folder / "log") == 4
    left = [path.name for path in (folder / "cache").rglob("output.pkl*")]
    assert set(left) == {"output.pkl"}  # the final fits are small enough, and no half results
    assert np.isfinite(fit_cached(folder)).all()
    assert n_fits(folder / "log") == 7


def search_stored(storage, n_trials=12):
    search = CFEnsembleSearch(n_trials, cv=CV, storage=storage, study_name="s", random_state=0)
    return search.fit(DATA.R, DATA.y).study_.trials


@pytest.mark.parametrize(
    "url", ["journal://{}/trials", "sqlite:///{}/trials"], ids=["journal", "sqlite"]
)
def test_a_full_disk_ends_a_search_which_then_continues(folder, url):
    storage = url.format(folder)
    open_storage(storage)
    room = (folder / "trials").stat().st_size + 5_000
    with running(LIMITED, folder, room, "search_stored", storage) as run:
        assert run.end() == 1
        assert "OSError: The study cannot be read or written" in run.errors()
    trials = search_stored(storage)
    assert len(finished(trials)) == 12
    assert len(trials) <= 13  # one at most was redone


# Files that were damaged


@pytest.mark.parametrize(
    "damage", ["garbage", "empty", "truncated", "no metadata", "broken metadata"]
)
def test_a_damaged_cache_is_computed_again(folder, damage):
    first = fit_cached(folder)
    results = sorted((folder / "cache").rglob("output.pkl"), key=lambda path: path.stat().st_size)
    result = results[-1]
    if damage in ("garbage", "empty"):
        result.write_bytes(b"garbage" if damage == "garbage" else b"")
    elif damage == "truncated":
        result.write_bytes(result.read_bytes()[:-20])
    elif damage == "no metadata":
        result.with_name("metadata.json").unlink()
    else:
        result.with_name("metadata.json").write_text("{")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(fit_cached(folder), first)


@pytest.mark.parametrize(
    ("start", "stop", "error", "message"),
    [
        (
            0.5,
            1.0,
            ValueError,
            "storage='sqlite:.*' cannot be opened: database disk image is malformed",
        ),
        (
            0.2,
            0.5,
            OSError,
            r"The study cannot be read or written \(database disk image is malformed\)",
        ),
    ],
    ids=["cut short", "overwritten"],
)
def test_a_damaged_study_is_named_and_left_as_it_is(tmp_path, start, stop, error, message):
    path = tmp_path / "trials"
    search_stored(f"sqlite:///{path}", n_trials=2)
    whole = path.read_bytes()
    start, stop = int(start * len(whole)), int(stop * len(whole))
    damaged = whole[:start] + (b"" if stop == len(whole) else bytes(stop - start)) + whole[stop:]
    path.write_bytes(damaged)
    with pytest.raises(error, match=message):
        search_stored(f"sqlite:///{path}", n_trials=3)
    assert path.read_bytes() == damaged


# A device that is not there


def test_an_absent_gpu_is_named_by_the_fit_and_by_the_search():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    message = "device='cuda:1' is not available here"
    with pytest.raises(ValueError, match=message):
        CFEnsemble("pytorch", device="cuda:1").fit(DATA.R, DATA.y)
    search = CFEnsembleSearch(
        2, cv=2, trainers=["pytorch"], estimator=CFEnsemble("pytorch", device="cuda:1")
    )
    with pytest.raises(
        ValueError, match=f"No trial was completed; 2 failed.*\n- ValueError: {message}"
    ):
        search.fit(DATA.R, DATA.y)
