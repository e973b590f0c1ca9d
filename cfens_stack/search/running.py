"""Running the trials of a study: alone, in threads, or beside processes that share it."""

import logging
import os
import time
import warnings
from contextlib import contextmanager

from cfens_stack.processes import end_with
from cfens_stack.search.selection import ranked_trials
from cfens_stack.search.storage import is_shared, open_storage, storage_errors
from cfens_stack.search.study import new_sampler
from cfens_stack.search.trials import (
    CannotBeFitted,
    TrialAborted,
    close_stale,
    counts,
    enqueue_first,
)
from cfens_stack.search.workers import is_foreign

logger = logging.getLogger(__name__)

LONGEST_NAP_SECONDS = 1.0


def run_beside_helpers(
    study, objective, first, *, storage, sampler, n_jobs, show_progress_bar, worker
):
    """Run trials by `n_jobs` workers, processes if they can share the storage, else threads; until
    Ctrl-C, if a trial is finished by then.

    Parameters
    ----------
    study : optuna.Study
    objective : Objective
    first : list of dict
        Configurations to begin with, in Optuna's terms.
    storage : as `CFEnsembleSearch` takes it
    sampler : optuna sampler or None
        Of the helpers.
    n_jobs : int
    show_progress_bar : bool
    worker : dict
        Arguments of `run_trials` that all workers share.
    """
    n_helpers = n_jobs - 1 if is_shared(storage) else 0
    with at_work(), progress_bar(show_progress_bar, objective.n_trials) as on_progress:
        close_stale(study)
        enqueue_first(study, first, objective.n_trials)
        try:
            with helper_processes(n_helpers, help_out, storage, study, objective, sampler, worker):
                run_trials(
                    study, objective, n_jobs=n_jobs - n_helpers, on_progress=on_progress, **worker
                )
        except KeyboardInterrupt:
            n_finished = len(ranked_trials(study))
            if not n_finished:
                raise
            logger.warning(
                "Interrupted: going on with the %d trials that are finished.", n_finished
            )


def run_trials(study, objective, *, timeout=None, n_jobs=1, callbacks=(), on_progress=None):
    """Run trials until the study has as many as asked for, counting those of other workers, and
    wait for theirs; after the timeout, for the default configuration's only.

    Parameters
    ----------
    study : optuna.Study
    objective : Objective
    timeout : float or None
        Seconds after which no trial is started; a running one is not interrupted.
    n_jobs : int
        Threads.
    callbacks : sequence of callables (study, trial) -> None
    on_progress : callable (int) -> None, default=None
        Called with the number of trials that have ended.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    nap = 0.01

    def after_trial(study, trial):
        if on_progress is not None:
            trials = study.get_trials(deepcopy=False)
            on_progress(sum(counts(one) for one in trials if one.state.is_finished()))
        if _n_open(study, objective.n_trials) == 0:
            study.stop()

    while True:
        close_stale(study)
        remaining = None if deadline is None else deadline - time.monotonic()
        is_over = remaining is not None and remaining <= 0
        if _n_open(study, objective.n_trials) > 0 and not is_over:
            study.optimize(
                objective,
                timeout=remaining,
                n_jobs=n_jobs,
                catch=(TrialAborted, CannotBeFitted),
                callbacks=[*callbacks, after_trial],
            )
            is_over = deadline is not None and time.monotonic() >= deadline
            if _n_open(study, objective.n_trials) > 0 and not is_over:
                return  # a callback has stopped the study
        elif any(not is_over or one.params == objective.default for one in _at_work(study)):
            time.sleep(nap)
            nap = min(2.0 * nap, LONGEST_NAP_SECONDS)
        else:
            return


def _n_open(study, n_trials):
    if n_trials is None:
        return 1
    return max(n_trials - sum(counts(trial) for trial in study.get_trials(deepcopy=False)), 0)


def _at_work(study):
    """Running trials of which this process will see the end."""
    running = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "RUNNING"]
    heartbeat = getattr(study._storage, "get_heartbeat_interval", lambda: None)() is not None
    return [trial for trial in running if heartbeat or not is_foreign(trial)]


@contextmanager
def helper_processes(n_helpers, work, *args):
    """Processes that run `work(*args)` beside the body of the `with`; ended if it raises or this
    process is killed.

    One that crashes does no harm: its trial is closed and done again by whoever is left.
    """
    if n_helpers == 0:
        yield
        return
    from joblib.externals.loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(
        max_workers=n_helpers, initializer=end_with, initargs=(os.getpid(),)
    )
    finished = False
    try:
        futures = [executor.submit(work, *args) for _ in range(n_helpers)]
        yield
        finished = True
        for future in futures:
            if (error := future.exception()) is not None:
                logger.warning("A helper process ended early: %s: %s", type(error).__name__, error)
    finally:
        executor.shutdown(wait=True, kill_workers=not finished)


def help_out(storage, study, objective, sampler, worker):
    """What a helper process does: trials of the same study with a sampler of its own."""
    import optuna

    with at_work():
        study = optuna.load_study(
            study_name=study.study_name,
            storage=open_storage(storage),
            sampler=new_sampler(None) if sampler is None else sampler,
            pruner=study.pruner,
        )
        study.sampler.reseed_rng()
        run_trials(study, objective, **worker)


@contextmanager
def at_work():
    """Hold back Optuna's lines and warnings of fits that the score judges anyway; name errors of
    the storage.
    """
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.ERROR))
    try:
        with storage_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@contextmanager
def progress_bar(show, n_trials):
    """Function to be called with the number of trials that have ended; None if no bar is wanted."""
    if not show:
        yield None
        return
    from tqdm.auto import tqdm

    with tqdm(total=n_trials, desc="trials", unit="trial") as bar:
        yield lambda n_ended: bar.update(n_ended - bar.n)
