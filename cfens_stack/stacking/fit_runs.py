"""Fits of the base models: one flat list of (model, fold) tasks on joblib, which survives models
that do not, and ends in time.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time
from typing import Any

from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel, delayed

from cfens_stack.stacking.cache import cached, remove_unfinished
from cfens_stack.stacking.caught_warnings import told_apart_by_thread
from cfens_stack.stacking.failures import BaseModelError, FitFailure, failure_of, not_started, where
from cfens_stack.stacking.fits import Fit, attempt, fit_and_predict
from cfens_stack.stacking.threads import limited_blas, threads_of_each

PROBE_SHARE = 0.25  # of the time limit, in which models are tried on one fold each


def run_fits(tasks, *, X, y, memory, n_jobs, on_failure, progress, time_limit=None, **settings):
    """Outcomes of the tasks, in their order.

    Parameters
    ----------
    tasks : list of FitTask
        Model by model, the folds of each, then its final fit.
    time_limit : float or None
        Seconds after which no task is started.

    Returns
    -------
    outcomes : list of Fit or FitFailure
    """
    n_threads = threads_of_each(n_jobs, len(tasks))
    fit = cached(fit_and_predict, memory, ignore=["X", "y", "n_threads"])
    settings |= {
        "fit": fit,
        "X": X,
        "y": y,
        "raise_failures": on_failure == "raise",
        "main_process": os.getpid(),
        "n_threads": n_threads,
    }
    with (
        _progress_bar(len(tasks), progress) as advance,
        limited_blas(n_threads),
        told_apart_by_thread(),
        _without_unfinished(fit) as unstored,
    ):
        run = FitRun(tasks, n_jobs, advance, unstored, settings)
        if time_limit is None:
            run.complete(_fold_by_fold(tasks))
        else:
            _complete_in_time(run, time() + PROBE_SHARE * time_limit, time() + time_limit)
    missing = (not_started(task.model, task.fold, time_limit) for task in tasks)
    return [run.outcomes.get(i, failure) for i, failure in enumerate(missing)]


class FitRun:
    """Tasks on their way, and what has come of them.

    One parallel call carries all tasks. When it breaks down (a worker died, a model cannot be sent
    to another process), the tasks that were on their way are tried again one at a time, so that
    only the guilty one is lost; then the rest goes on in parallel.

    Parameters
    ----------
    tasks : list of FitTask
    n_jobs : int or None
    advance : callable () -> None
        Called for each outcome.
    unstored : list
        Numbers of the tasks whose outcome the cache does not hold are added to it.
    settings : dict
        Arguments of `attempt`.

    Attributes
    ----------
    outcomes : dict of int to Fit or FitFailure
    """

    def __init__(self, tasks, n_jobs, advance, unstored, settings):
        self.tasks = tasks
        self.n_jobs = n_jobs
        self.advance = advance
        self.unstored = unstored
        self.settings = settings
        self.outcomes: dict[int, Fit | FitFailure] = {}

    def complete(self, indices, deadline=None):
        """Carry out tasks, in the order of their numbers given, that can start before the
        deadline.
        """
        pending = list(indices)
        while pending:
            suspects, error = self._run(pending, deadline)
            if error is not None and self.settings["raise_failures"]:
                raise BaseModelError(
                    _breakdown(error, [self.tasks[i] for i in suspects])
                ) from error
            for suspect in suspects:
                _, error = self._run([suspect], None)
                if error is not None:
                    task = self.tasks[suspect]
                    self.outcomes[suspect] = failure_of(task.model, task.fold, error)
                    self.advance()
            pending = [i for i in pending if i not in self.outcomes] if suspects else []

    def _run(self, indices, deadline):
        """Run tasks in parallel and note their outcomes; if that breaks down, return the tasks on
        their way and the error.
        """
        started, late = set(), set()

        def jobs():
            for i in indices:
                started.add(i)
                yield delayed(attempt)(i, self.tasks[i], deadline=deadline, **self.settings)

        try:
            results = Parallel(n_jobs=self.n_jobs, return_as=_return_as())(jobs())
            for index, outcome, stored in results:
                if outcome is None:
                    late.add(index)
                    continue
                self.outcomes[index] = outcome
                if not stored:
                    self.unstored.append(index)
                self.advance()
        except BaseModelError:
            raise
        except Exception as error:
            suspects = sorted(started - self.outcomes.keys() - late)
            if not suspects:
                raise
            return suspects, error
        return [], None


def _fold_by_fold(tasks):
    """Numbers of the tasks: all models on the first fold, on the second, at last on all rows.

    So a fold has shown how long all of them take, and the time left on the progress bar is right.
    """
    last = max((task.fold for task in tasks if task.fold is not None), default=-1) + 1
    return sorted(range(len(tasks)), key=lambda i: last if tasks[i].fold is None else tasks[i].fold)


def _complete_in_time(run, probed, deadline):
    """Something whole early: all models are tried on one fold each until `probed`. Then those that
    will be whole before the deadline are completed, the fastest first; where none will, the next
    ones are tried. If none is whole in the end, the fastest is begun all the same.
    """
    of_model: dict[str, list[int]] = {}
    for i, task in enumerate(run.tasks):
        of_model.setdefault(task.model, []).append(i)
    n_parallel = effective_n_jobs(run.n_jobs)
    run.complete([tasks[0] for tasks in of_model.values()], probed)
    while time() < deadline:
        rest = _rest(run, of_model)
        end, chosen = time(), list[int]()
        for one, model in sorted(_tried(run, of_model)):
            whole = end + one * len(rest[model]) / n_parallel
            if rest[model] and whole <= deadline:
                end = whole
                chosen += rest[model]
        untried = [tasks[0] for tasks in of_model.values() if tasks[0] not in run.outcomes]
        if not (chosen or untried):
            break
        run.complete(chosen or untried[:n_parallel], deadline)
    rest = _rest(run, of_model)
    left = [i for _, model in sorted(_tried(run, of_model)) for i in rest[model]]
    left += [i for tasks in rest.values() for i in tasks if i not in left]
    # Where something is whole, only what the cache holds is still taken.
    run.complete(left, time() if not all(rest.values()) else deadline)


def _rest(run, of_model):
    """Numbers of each model's tasks that have no outcome yet."""
    return {model: [i for i in tasks if i not in run.outcomes] for model, tasks in of_model.items()}


def _tried(run, of_model):
    """(seconds, model) of the models with an outcome on their first fold; a failure takes none."""
    for model, tasks in of_model.items():
        outcome = run.outcomes.get(tasks[0])
        if isinstance(outcome, Fit):
            yield outcome.fit_seconds + outcome.predict_seconds, model
        elif outcome is not None:
            yield 0.0, model


@contextmanager
def _without_unfinished(fit):
    """A list for the tasks whose outcome the cache could not store; what was left of them is
    removed in the end, and after an interruption.
    """
    unstored: list[int] = []
    try:
        yield unstored
    except BaseException:
        remove_unfinished(fit)
        raise
    if unstored:
        remove_unfinished(fit)


def _breakdown(error, suspects):
    fits = "; ".join(f"{task.model!r}, {where(task.fold)}" for task in suspects)
    return (
        f"The parallel run broke down with {type(error).__name__} during one of these fits: "
        f"{fits}. on_failure='warn' finds the one that is to blame and goes on without it."
    )


def _return_as():
    """Results as they come where the backend can, so that a breakdown loses none that arrived."""
    backend, _ = get_active_backend()
    return "generator_unordered" if getattr(backend, "supports_return_generator", False) else "list"


@contextmanager
def _progress_bar(total: int, show: bool) -> Iterator[Callable[[], Any]]:
    if not show:
        yield lambda: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc="base-model fits", unit="fit", smoothing=0) as bar:
        yield bar.update
