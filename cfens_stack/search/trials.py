"""Trials of a study that several workers share: who takes which, what counts, what a killed worker
leaves behind.

The rules, all of them read off the storage, so that any number of processes can follow them:

- A failed trial counts if it recorded its "error": the configuration cannot be fitted. Failed
without one it is lost:
  its worker was killed or interrupted, or it gave way. Lost trials do not count towards `n_trials`.
- A trial that finds `n_trials` or more counting ones with smaller numbers gives way. So they never
are more.
- A trial whose parameters another one has copies that one's result, or gives way if that one is
running or both were
  queued. So nothing is evaluated twice.
- The parameters of a lost trial that no other trial has are queued again.
"""

import logging
import os
import time
import warnings
from contextlib import contextmanager

from cfens_stack.processes import end_with
from cfens_stack.search.storage import is_of_storage, open_storage, storage_errors
from cfens_stack.search.workers import is_foreign, is_stale, worker_mark
from cfens_stack.validation import refuse_classes

logger = logging.getLogger(__name__)

LONGEST_NAP_SECONDS = 1.0


class GiveWay(Exception):
    """Ends a trial that does not count."""


class CannotBeFitted(Exception):
    """Ends a trial whose configuration raised an error, which the trial has recorded."""


def check_parts(callbacks, **parts):
    """Refuse callbacks that cannot be called, and a sampler or pruner that is a class instead of an
    instance.
    """
    refuse_classes(**parts)
    for callback in callbacks or ():
        if not callable(callback):
            raise TypeError(f"callbacks holds {callback!r}: pass functions (study, trial) -> None.")


class Objective:
    """What Optuna calls for each trial: takes it, asks for parameters, evaluates them.

    Parameters
    ----------
    space : Space
    evaluation : Evaluation
    n_trials : int or None
        Total of the study.
    """

    def __init__(self, space, evaluation, n_trials):
        self.space = space
        self.evaluation = evaluation
        self.n_trials = n_trials

    def __call__(self, trial):
        import optuna

        trial.set_user_attr("worker", worker_mark())
        others = [
            other
            for other in trial.study.get_trials(deepcopy=False)
            if other.number != trial.number
        ]
        before = sum(
            counts(other) or is_queued(other) for other in others if other.number < trial.number
        )
        if self.n_trials is not None and before >= self.n_trials:
            raise GiveWay(f"the study has its {self.n_trials} trials")
        try:
            params = self.space.suggest(trial)
            twin = find_twin(trial)
            return self._evaluate(trial, params) if twin is None else copy_result(trial, twin)
        except (optuna.TrialPruned, GiveWay):
            raise
        except Exception as error:
            if is_of_storage(error):
                raise
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
            raise CannotBeFitted from error

    def _evaluate(self, trial, params):
        import optuna

        scores: list[float] = []
        for fold, score in enumerate(self.evaluation.fold_scores(params)):
            trial.report(score, fold)
            scores.append(score)
            if len(scores) < self.evaluation.n_folds and trial.should_prune():
                raise optuna.TrialPruned(f"after {len(scores)} of {self.evaluation.n_folds} folds")
        trial.set_user_attr("standard_error", self.evaluation.standard_error(scores))
        return sum(scores) / len(scores)


def counts(trial):
    """Whether a trial counts towards the total: running, finished, or failed by an error of its
    own.
    """
    return trial.state.name in ("RUNNING", "COMPLETE", "PRUNED") or (
        trial.state.name == "FAIL" and "error" in trial.user_attrs
    )


def is_lost(trial):
    """Whether a trial failed without an error of its own."""
    return trial.state.name == "FAIL" and "error" not in trial.user_attrs


def is_queued(trial):
    """Whether a trial waits for a worker."""
    return trial.state.name == "WAITING"


def find_twin(trial):
    """Another counting trial with the same parameters, finished ones first; None if there is none.

    Raises
    ------
    GiveWay
        If the twin is running, or this trial was queued, which two workers that started together
        may both have done.
    """
    trials = trial.study.get_trials(deepcopy=False)
    twins = [
        t for t in trials if t.number != trial.number and counts(t) and t.params == trial.params
    ]
    twin = min(twins, key=lambda twin: (twin.state.name == "RUNNING", twin.number), default=None)
    if twin is not None and (
        twin.state.name == "RUNNING" or "fixed_params" in trials[trial.number].system_attrs
    ):
        raise GiveWay(f"trial {twin.number} has the same parameters")
    return twin


def copy_result(trial, twin):
    """The result of a trial with the same parameters, as if they had been evaluated again."""
    import optuna

    trial.set_user_attr("copy_of", twin.number)
    if twin.state.name == "FAIL":
        raise RuntimeError(twin.user_attrs["error"])
    for fold, score in twin.intermediate_values.items():
        trial.report(score, fold)
    if twin.state.name == "PRUNED":
        raise optuna.TrialPruned(f"as trial {twin.number}")
    trial.set_user_attr("standard_error", twin.user_attrs.get("standard_error"))
    return twin.value


def enqueue_once(study, configurations, n_trials):
    """Queue parameters, in Optuna's terms, that no trial of the study has yet; not beyond the
    total.
    """
    for params in configurations:
        trials = study.get_trials(deepcopy=False)
        open_ = (
            n_trials is None
            or sum(counts(trial) or is_queued(trial) for trial in trials) < n_trials
        )
        if open_ and not any(_covers(trial, params) for trial in trials):
            study.enqueue_trial(params)


def close_stale(study):
    """Fail the running trials of workers that are no more, and queue what was lost with them."""
    import optuna

    storage = study._storage  # the only way to fail a trial that another process started
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)  # by heartbeat, where the storage has one
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        if is_stale(trial):
            try:
                storage.set_trial_state_values(trial._trial_id, state=optuna.trial.TrialState.FAIL)
            except optuna.exceptions.UpdateFinishedTrialError:
                continue  # another worker was faster
            logger.warning(
                "Trial %d is closed: its worker has ended. Its work will be redone.", trial.number
            )
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        params = trial.system_attrs.get("fixed_params", trial.params)
        if (
            is_lost(trial)
            and params
            and not any(_covers(other, params) for other in trials if not is_lost(other))
        ):
            study.enqueue_trial(params)
            trials = study.get_trials(deepcopy=False)


def _covers(trial, params):
    """Whether a trial that is not lost evaluates parameters, of a killed one perhaps only the first
    few.
    """
    if is_lost(trial):
        return False
    own = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    return all(name in own and own[name] == value for name, value in params.items())


def run_trials(study, objective, *, timeout=None, n_jobs=1, callbacks=(), on_progress=None):
    """Run trials until the study has as many as asked for, counting those of other workers, and
    wait for theirs.

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
            on_progress(
                sum(
                    counts(other)
                    for other in study.get_trials(deepcopy=False)
                    if other.state.is_finished()
                )
            )
        if _n_open(study, objective.n_trials) == 0:
            study.stop()

    while True:
        close_stale(study)
        remaining = None if deadline is None else deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            return
        if _n_open(study, objective.n_trials) > 0:
            study.optimize(
                objective,
                timeout=remaining,
                n_jobs=n_jobs,
                catch=(GiveWay, CannotBeFitted),
                callbacks=[*callbacks, after_trial],
            )
            if _n_open(study, objective.n_trials) > 0:
                return  # out of time, or a callback has stopped the study
        elif _others_at_work(study):
            time.sleep(nap)
            nap = min(2.0 * nap, LONGEST_NAP_SECONDS)
        else:
            return


def _n_open(study, n_trials):
    if n_trials is None:
        return 1
    return max(n_trials - sum(counts(trial) for trial in study.get_trials(deepcopy=False)), 0)


def _others_at_work(study):
    """Whether trials are running of which this process will see the end."""
    running = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "RUNNING"]
    heartbeat = getattr(study._storage, "get_heartbeat_interval", lambda: None)() is not None
    return any(heartbeat or not is_foreign(trial) for trial in running)


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
            sampler=optuna.samplers.TPESampler(constant_liar=True) if sampler is None else sampler,
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
