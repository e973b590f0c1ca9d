"""Who is at work on a trial: other containers, other machines, processes that have ended; workers
that start at the same moment.
"""

import contextlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from datetime import timedelta

import optuna
import pytest

from cfens_stack import CFEnsembleSearch
from cfens_stack.datasets import make_predictions
from cfens_stack.search.storage import open_storage
from cfens_stack.search.workers import (
    UNMARKED_SECONDS,
    is_foreign,
    is_stale,
    process_start,
    worker_mark,
)

DATA = make_predictions(n_samples=200, n_models=4, random_state=0)

# Marks a trial as its own, and stays.
BLOCKED = """
import sys, time
import optuna
from cfens_stack.search.storage import open_storage
from cfens_stack.search.workers import worker_mark

study = optuna.create_study(storage=open_storage(sys.argv[1]), study_name="s")
study.ask().set_user_attr("worker", worker_mark())
print("at work", flush=True)
time.sleep(600)
"""


def running(**mark):
    attrs = {"worker": {**worker_mark(), **mark}}
    return optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs=attrs)


def ended_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_running_trial_without_a_mark_is_given_time_to_set_one():
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)
    assert not is_stale(trial)
    trial.datetime_start -= timedelta(seconds=UNMARKED_SECONDS)
    assert is_stale(trial)


def test_a_trial_is_stale_when_its_process_has_ended():
    assert not is_stale(running())
    assert is_stale(running(pid=ended_process()))
    assert is_stale(running(started=worker_mark()["started"] - 60.0))  # the pid is another's now
    assert is_stale(running(boot="before the power went"))


@pytest.mark.parametrize("where", [{"host": "elsewhere"}, {"pid_namespace": 1}])
def test_a_process_that_cannot_be_seen_is_not_taken_for_dead(where):
    trial = running(pid=ended_process(), **where)
    assert is_foreign(trial)
    assert not is_stale(trial)


def test_a_zombie_has_ended():
    if os.name != "posix":
        pytest.skip("zombies")
    process = subprocess.Popen([sys.executable, "-c", ""])
    end = time.monotonic() + 60
    while process_start(process.pid) is not None:  # not waited for: it stays a zombie
        assert time.monotonic() < end
        time.sleep(0.02)
    assert process.wait() == 0


@contextlib.contextmanager
def worker_in_another_pid_namespace(storage):
    """As in another container with the same host name; its pids mean other processes here."""
    unshare = shutil.which("unshare")
    command = [unshare, "--map-root-user", "--pid", "--fork", "--kill-child"]
    if unshare is None or subprocess.run([*command, "true"], check=False).returncode != 0:
        pytest.skip("needs unshare, and leave to make PID namespaces")
    command += [sys.executable, "-c", BLOCKED, str(storage)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout.readline() == "at work\n"
            yield
        finally:
            worker.kill()


def test_a_live_worker_in_another_pid_namespace_keeps_its_trial(tmp_path):
    storage = tmp_path / "trials.journal"
    with worker_in_another_pid_namespace(storage):
        search = CFEnsembleSearch(3, cv=3, storage=storage, study_name="s", random_state=0)
        trials = search.fit(DATA.R, DATA.y).study_.trials
    states = [trial.state.name for trial in trials]
    assert states[0] == "RUNNING"
    assert sum(state in ("COMPLETE", "PRUNED") for state in states) == 2  # of 3 with the other's


def open_with_others(url, barrier, queue):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    barrier.wait()
    try:
        storage = open_storage(url)
        optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
        queue.put("opened")
    except BaseException as error:
        queue.put(repr(error))


def test_workers_that_start_together_on_a_fresh_sqlite_file(tmp_path):
    """All of them make the tables: of four, two or three used to end with "table already exists"
    or a violated constraint.
    """
    context = multiprocessing.get_context("spawn")
    for attempt in range(2):
        barrier, queue = context.Barrier(4), context.Queue()
        url = f"sqlite:///{tmp_path}/{attempt}.db"
        arguments = (url, barrier, queue)
        processes = [context.Process(target=open_with_others, args=arguments) for _ in range(4)]
        for process in processes:
            process.start()
        assert [queue.get(timeout=100) for _ in processes] == 4 * ["opened"]
        for process in processes:
            process.join()


# Waits until both workers are there, then searches.
TOGETHER = """
import sys, time
from pathlib import Path
from cfens_stack import CFEnsembleSearch
from cfens_stack.datasets import make_predictions

folder, me = Path(sys.argv[1]), sys.argv[2]
data = make_predictions(n_samples=200, n_models=4, random_state=0)
(folder / me).touch()
while len(list(folder.glob("worker*"))) < 2:
    time.sleep(0.002)
CFEnsembleSearch(6, cv=3, storage=f"sqlite:///{folder}/trials.db", study_name="s",
                 random_state=0).fit(data.R, data.y)
"""


def test_two_searches_started_together_on_a_fresh_sqlite_file(tmp_path):
    command = [sys.executable, "-c", TOGETHER, str(tmp_path)]
    workers = [subprocess.Popen([*command, f"worker {k}"]) for k in range(2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    storage = open_storage(f"sqlite:///{tmp_path}/trials.db")
    trials = storage.get_all_trials(storage.get_study_id_from_name("s"))
    storage.engine.dispose()
    counted = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    evaluated = [trial for trial in counted if "copy_of" not in trial.user_attrs]
    assert len(counted) == 6
    assert len({tuple(sorted(trial.params.items())) for trial in evaluated}) == len(evaluated)
