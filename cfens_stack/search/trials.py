"""Trials of a study that several workers share: who takes which, what counts, what a killed worker
leaves behind.

The rules, all of them read off the storage, so that any number of processes can follow them:

- A failed trial counts if it recorded its "error": the configuration cannot be fitted. Failed
  without one it is lost: its worker was killed or interrupted, or it was aborted. Lost trials do
  not count towards `n_trials`.
- A trial that finds `n_trials` or more counting ones with smaller numbers is aborted. So they never
  are more.
- A trial whose parameters another one has copies that one's result, or is aborted if that one is
  running or both were queued. So nothing is evaluated twice.
- The parameters of a lost trial that no other trial has are queued again.
"""

import logging
import warnings

from cfens_stack.search.storage import is_of_storage
from cfens_stack.search.workers import is_stale, worker_mark

logger = logging.getLogger(__name__)


class TrialAborted(Exception):
    """Ends a trial that does not count."""


class CannotBeFitted(Exception):
    """Ends a trial whose configuration raised an error, which the trial has recorded."""


class Objective:
    """What Optuna calls for each trial: takes it, asks for parameters, evaluates them.

    Parameters
    ----------
    space : Space
    evaluation : Evaluation
    default : dict
        The default configuration in Optuna's terms, which is never pruned.
    n_trials : int or None
        Total of the study.
    """

    def __init__(self, space, evaluation, default, n_trials):
        self.space = space
        self.evaluation = evaluation
        self.default = default
        self.n_trials = n_trials
        self.reference: list = []  # folds of the default, where this process has evaluated it

    def __call__(self, trial):
        import optuna

        trial.set_user_attr("worker", worker_mark())
        trials = trial.study.get_trials(deepcopy=False)
        before = sum(counts(one) or is_queued(one) for one in trials[: trial.number])
        if self.n_trials is not None and before >= self.n_trials:
            raise TrialAborted(f"the study has its {self.n_trials} trials")
        try:
            params = self.space.suggest(trial)
            duplicate = find_duplicate(trial)
            if duplicate is not None:
                return copy_result(trial, duplicate)
            return self._evaluate(trial, params)
        except (optuna.TrialPruned, TrialAborted):
            raise
        except Exception as error:
            if is_of_storage(error):
                raise
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
            raise CannotBeFitted from error

    def _evaluate(self, trial, params):
        import optuna

        folds, n_folds, is_default = [], self.evaluation.n_folds, trial.params == self.default
        has_steps = len(self.evaluation.aims) == 1  # Optuna prunes by one score only
        for step, fold in enumerate(self.evaluation.folds(params)):
            folds.append(fold)
            if not has_steps:
                continue
            trial.report(self.evaluation.step_score(fold), step)
            if is_default or step + 1 == n_folds:
                continue
            if self.reference:
                trial.set_user_attr("row_z", self.evaluation.row_z(folds, self.reference))
            if trial.should_prune():
                raise optuna.TrialPruned(f"after {step + 1} of {n_folds} folds")
        if is_default:
            self.reference = folds
        result = self.evaluation.result(folds)
        by_aim = [result.fold_scores[aim.name] for aim in self.evaluation.aims]
        trial.set_user_attr("fold_scores", result.fold_scores)
        trial.set_user_attr("standard_error", self.evaluation.standard_error(by_aim[0]))
        if result.threshold is not None:
            trial.set_user_attr("threshold", result.threshold)
        values = [sum(scores) / len(scores) for scores in by_aim]
        return values if len(values) > 1 else values[0]


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


def find_duplicate(trial):
    """Another counting trial with the same parameters, finished ones first; None if there is none.

    Raises
    ------
    TrialAborted
        If the duplicate is running, or this trial was queued, which two workers that started
        together may both have done.
    """
    trials = trial.study.get_trials(deepcopy=False)
    found = [
        one
        for one in trials
        if one.number != trial.number and counts(one) and one.params == trial.params
    ]
    if not found:
        return None
    first = min(found, key=lambda one: (one.state.name == "RUNNING", one.number))
    if first.state.name == "RUNNING" or "fixed_params" in trials[trial.number].system_attrs:
        raise TrialAborted(f"trial {first.number} has the same parameters")
    return first


def copy_result(trial, other):
    """The result of a trial with the same parameters, as if they had been evaluated again."""
    import optuna

    trial.set_user_attr("copy_of", other.number)
    if other.state.name == "FAIL":
        raise RuntimeError(other.user_attrs["error"])
    for fold, score in other.intermediate_values.items():
        trial.report(score, fold)
    if other.state.name == "PRUNED":
        raise optuna.TrialPruned(f"as trial {other.number}")
    for name in ("fold_scores", "standard_error", "threshold"):
        if name in other.user_attrs:
            trial.set_user_attr(name, other.user_attrs[name])
    return other.values


def enqueue_first(study, configurations, n_trials):
    """Queue parameters, in Optuna's terms, that the study does not have yet; not beyond the
    total.
    """
    for params in configurations:
        trials = study.get_trials(deepcopy=False)
        n_taken = sum(counts(trial) or is_queued(trial) for trial in trials)
        if n_trials is None or n_taken < n_trials:
            study.enqueue_trial(params, skip_if_exists=True)


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
