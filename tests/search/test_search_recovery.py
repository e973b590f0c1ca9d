"""Workers killed with SIGKILL: nothing finished is lost, their work is redone, the total is
reached.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cfens_stack import CFEnsembleSearch
from cfens_stack.datasets import make_predictions
from cfens_stack.search.storage import open_storage

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")

N_TRIALS = 12

# A worker as people would start it. The first lines let a test decide when it dies: `stop` is where
# it blocks, in mid-trial or between two trials, after it has said so; only SIGKILL ends it then.
WORKER = """
import sys, time
from pathlib import Path
from sklearn.metrics import get_scorer
from cfens_stack import CFEnsembleSearch
from cfens_stack.datasets import make_predictions

storage, stop, sign, n_trials = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
scored = 0

def block():
    sign.touch()
    time.sleep(600)

def scorer(estimator, R, y):
    global scored
    scored += 1
    if stop == "mid-trial" and scored == 5:
        block()
    return get_scorer("average_precision")(estimator, R, y)

def between(study, trial):
    if stop == "between":
        block()

data = make_predictions(n_samples=200, n_models=5, random_state=0)
CFEnsembleSearch(n_trials, cv=4, scoring=scorer, storage=storage, study_name="study", random_state=0,
                 callbacks=[between]).fit(data.R, data.y)
"""


def start(storage, stop, sign, n_trials=N_TRIALS):
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(storage), stop, str(sign), str(n_trials)]
    )


def wait_for(path, worker):
    end = time.monotonic() + 60
    while not path.exists():
        assert worker.poll() is None, "the worker ended before it was killed"
        assert time.monotonic() < end
        time.sleep(0.02)


def kill(worker):
    worker.send_signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL


@contextlib.contextmanager
def reading(storage):
    """A storage whose database connections, if it has any, are closed in the end."""
    opened = open_storage(str(storage))
    try:
        yield opened
    finally:
        if hasattr(opened, "engine"):
            opened.remove_session()
            opened.engine.dispose()


def trials_of(storage):
    with reading(storage) as opened:
        try:
            return opened.get_all_trials(opened.get_study_id_from_name("study"))
        except KeyError:  # the worker has not got so far
            return []


def in_state(trials, *states):
    return [trial for trial in trials if trial.state.name in states]


def check_recovered(before, after, n_trials):
    """Finished trials unchanged, those of the dead closed and redone, the total reached, nothing
    twice.
    """
    ended = in_state(before, "COMPLETE", "PRUNED")
    assert ended == [after[trial.number] for trial in ended]
    left_running = in_state(before, "RUNNING")
    assert left_running
    counted = in_state(after, "COMPLETE", "PRUNED")
    for trial in left_running:
        assert after[trial.number].state.name == "FAIL"
        assert sum(other.params == trial.params for other in counted) == 1
    assert len(counted) == n_trials
    assert not in_state(after, "RUNNING")
    assert len({tuple(sorted(trial.params.items())) for trial in counted}) == n_trials


@pytest.fixture(params=["journal", "server"])
def storage(request, tmp_path):
    """A storage that processes share."""
    if request.param == "journal":
        yield tmp_path / "trials.journal"
        return
    url = os.environ.get("CFENS_TEST_POSTGRES")
    if url is None:
        pytest.skip("needs CFENS_TEST_POSTGRES, the URL of a database server: see docs/tuning.md")
    forget_study(url)
    yield url
    forget_study(url)


def forget_study(storage):
    with reading(storage) as opened, contextlib.suppress(KeyError):
        opened.delete_study(opened.get_study_id_from_name("study"))


def test_three_workers_two_of_them_killed(storage, tmp_path):
    signs = [tmp_path / name for name in ("mid", "between", "never")]
    doomed = [start(storage, "mid-trial", signs[0]), start(storage, "between", signs[1])]
    for sign, worker in zip(signs, doomed, strict=False):
        wait_for(sign, worker)
    # The third joins while both are there, and must neither take their trials for lost nor stop for
    # them.
    third = start(storage, "never", signs[2], n_trials=4)
    kill(doomed[1])
    end = time.monotonic() + 60
    while len(in_state(trials_of(storage), "COMPLETE", "PRUNED")) < 3:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (
        len(in_state(trials_of(storage), "RUNNING")) == 1
    )  # of the first, which is blocked but alive
    assert third.poll() is None  # it waits for that trial
    before = trials_of(storage)
    kill(doomed[0])
    assert third.wait(timeout=60) == 0  # it redoes the trial of the killed one
    check_recovered(before, trials_of(storage), 4)
    before = trials_of(storage)
    resumed = [start(storage, "never", signs[2]) for _ in range(2)]
    assert [worker.wait(timeout=120) for worker in resumed] == [0, 0]
    after = trials_of(storage)
    assert after[: len(before)] == before
    counted = in_state(after, "COMPLETE", "PRUNED")
    assert len(counted) == N_TRIALS
    assert len({tuple(sorted(trial.params.items())) for trial in counted}) == N_TRIALS


@pytest.mark.parametrize("stop", ["mid-trial", "between"])
def test_one_process_on_sqlite_killed_and_started_again(stop, tmp_path):
    storage = f"sqlite:///{tmp_path}/trials.db"
    worker = start(storage, stop, tmp_path / "sign", n_trials=4)
    wait_for(tmp_path / "sign", worker)
    kill(worker)
    before = trials_of(storage)
    assert start(storage, "never", tmp_path / "never", n_trials=4).wait(timeout=120) == 0
    after = trials_of(storage)
    if stop == "mid-trial":
        check_recovered(before, after, 4)
    else:
        ended = in_state(before, "COMPLETE", "PRUNED")
        assert ended == after[: len(ended)]
        assert len(in_state(after, "COMPLETE", "PRUNED")) == len(after) == 4


def test_kill_at_any_moment_leaves_a_journal_that_can_be_continued(tmp_path):
    """Whatever a worker was doing: writing a record, taking a trial, fitting."""
    storage = tmp_path / "trials.journal"
    rng = np.random.default_rng(0)
    finished = []
    for _ in range(3):
        worker = start(storage, "never", tmp_path / "never", n_trials=60)
        end = time.monotonic() + 60
        while len(in_state(trials_of(storage), "COMPLETE")) <= len(finished):
            assert time.monotonic() < end
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.3))
        kill(worker)
        trials = trials_of(storage)
        assert [trials[trial.number] for trial in finished] == finished
        finished = in_state(trials, "COMPLETE", "PRUNED")
    n_trials = len(finished) + 2
    data = make_predictions(n_samples=200, n_models=5, random_state=0)
    assert n_trials < 60
    start(storage, "never", tmp_path / "never", n_trials=n_trials).wait(timeout=120)
    after = trials_of(storage)
    assert [after[trial.number] for trial in finished] == finished
    assert len(in_state(after, "COMPLETE", "PRUNED")) == n_trials
    with pytest.raises(ValueError, match="other data"):
        CFEnsembleSearch(3, storage=storage, study_name="study", random_state=1).fit(data.R, data.y)
