"""From the trials of a study to what is refitted, and why, in words."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from cfens_stack.search.evaluation import LOG_SCORE
from cfens_stack.search.pruning import corrected_standard_error

SELECTIONS = ("beyond-noise", "best", "one-standard-error", "average")
STANDARD_ERRORS = 1.0  # of the paired gain in log score, which a departure has to exceed


class ConfigurationAverage(ClassifierMixin, BaseEstimator):
    """Mean of the probabilities of several estimators with different parameters.

    Parameters
    ----------
    estimators : list of estimators
        Each is fitted in place.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    n_features_in_ : int
    """

    def __init__(self, estimators):
        self.estimators = estimators

    def fit(self, R, y, sample_weight=None):
        """Fit every estimator; parameters as for CFEnsemble."""
        for estimator in self.estimators:
            estimator.fit(R, y, sample_weight=sample_weight)
        self.classes_ = self.estimators[0].classes_
        self.n_features_in_ = self.estimators[0].n_features_in_
        return self

    def predict_proba(self, R):
        """Probabilities of the classes: ndarray of shape (n, K)."""
        check_is_fitted(self)
        return np.mean([estimator.predict_proba(R) for estimator in self.estimators], axis=0)

    def predict(self, R):
        """Class of each row: ndarray of shape (n,)."""
        return self.classes_[self.predict_proba(R).argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


@dataclass(frozen=True)
class Selection:
    """What is refitted.

    Attributes
    ----------
    trials : list of optuna trials
        One, or those to be averaged, best first.
    report : str
        Why, in a sentence.
    """

    trials: list
    report: str


def ranked_trials(study):
    """Completed trials that are no copies, best first by the first aim; of equals the earlier
    one.
    """
    completed = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.name == "COMPLETE" and "copy_of" not in trial.user_attrs
    ]
    return sorted(completed, key=lambda trial: (-trial.values[0], trial.number))


def pareto_front(study):
    """Completed trials that no other beats in every score, by the first: list of optuna trials."""
    best = study.best_trials if len(study.directions) > 1 else ranked_trials(study)[:1]
    kept = {trial.number: trial for trial in best if "copy_of" not in trial.user_attrs}
    return sorted(kept.values(), key=lambda trial: (-trial.values[0], trial.number))


def select(trials, rule, *, aims, default, space, overlap, n_average):
    """Apply a rule of SELECTIONS.

    Parameters
    ----------
    trials : list of optuna trials
        Completed ones, best first.
    rule : str
    aims : sequence of str
        Names of what was searched by.
    default : dict
        The default configuration in Optuna's terms.
    space : Space
    overlap : float
        Mean of test rows over training rows of a fold.
    n_average : int

    Returns
    -------
    Selection
    """
    if rule == "beyond-noise":
        return beyond_noise(trials, aims, default, overlap)
    if rule == "one-standard-error":
        near = simplest_near_best(trials, aims[0], space, overlap)
        return Selection([near], f"took trial {near.number}, the simplest near the best.")
    if rule == "average":
        chosen = trials[:n_average]
        return Selection(
            chosen, f"took the mean of the {len(chosen)} best of {len(trials)} trials."
        )
    return Selection(trials[:1], f"took trial {trials[0].number}, the best of {len(trials)}.")


def beyond_noise(trials, aims, default, overlap):
    """The default configuration, unless another gains more in log score than noise would.

    Each trial is compared with the default's, paired over the folds that both share. It may
    replace the default where its mean gain in log score exceeds `STANDARD_ERRORS` corrected
    standard errors of the gain and no aim falls; of those the best by the first aim does.

    Parameters
    ----------
    trials : list of optuna trials
        Completed ones, best first.
    aims : sequence of str
    default : dict
        The default configuration in Optuna's terms.
    overlap : float
    """
    kept = next((trial for trial in trials if trial.params == default), None)
    if kept is None:
        return Selection(
            trials[:1],
            f"took trial {trials[0].number}, the best of {len(trials)}, without a comparison: the "
            "default configuration was not completed.",
        )
    others = [trial for trial in trials if trial is not kept]
    for trial in others:
        mean, error = paired_gain(trial, kept, LOG_SCORE, overlap)
        falls = any(new < old for new, old in zip(trial.values, kept.values, strict=True))
        if mean > STANDARD_ERRORS * error and not falls:
            gains = _gains_text(trial, kept, aims, overlap)
            return Selection([trial], f"left the default for trial {trial.number}, which {gains}.")
    if not others:
        return Selection([kept], "kept the default: no other trial was completed.")
    gains = _gains_text(others[0], kept, aims, overlap)
    return Selection([kept], f"kept the default: the best of {len(others)} other trials {gains}.")


def paired_gain(trial, reference, name, overlap):
    """Mean gain of a trial over another in a score, over the folds, and its corrected standard
    error; infinite for one fold.
    """
    new, old = (one.user_attrs["fold_scores"][name] for one in (trial, reference))
    gains = np.subtract(new, old)
    error = corrected_standard_error(gains, overlap) if len(gains) > 1 else np.inf
    return float(gains.mean()), float(error)


def _gains_text(trial, reference, aims, overlap):
    """Such as "gains 0.0004 +- 0.0011 in average_precision, -0.0010 +- 0.0020 in neg_log_loss"."""
    gains = []
    for name in dict.fromkeys([*aims, LOG_SCORE]):
        mean, error = paired_gain(trial, reference, name, overlap)
        gains.append(f"{mean:.4f} +- {error:.4f} in {name}")
    return f"gains {', '.join(gains)}"


def simplest_near_best(trials, aim, space, overlap):
    """The simplest of the trials whose score is within one standard error of the best.

    The standard error is that of the paired difference over the folds, which all trials share, with
    the correction for overlapping training parts. Simplest are configurations that were not
    searched for, the default before the guide's; then ALS before PyTorch, smaller rank, stronger
    regularisation.

    Parameters
    ----------
    trials : list of optuna trials
        Completed ones, best first.
    aim : str
    space : Space
    overlap : float
        Mean of test rows over training rows of a fold.

    References
    ----------
    L. Breiman, J. Friedman, R. Olshen, C. Stone (1984), "Classification and regression trees",
    section 3.4.3.
    """

    def is_near(trial):
        behind, error = paired_gain(trials[0], trial, aim, overlap)
        return behind <= (error if np.isfinite(error) else 0.0)

    def complexity(trial):
        params = space.decode(trial.params)
        was_searched = "fixed_params" not in trial.system_attrs
        return (
            was_searched,
            trial.number if not was_searched else 0,
            params.get("trainer") == "pytorch",
            params.get("latent_dim", 0),
            -params.get("lambda_reg", 0.0),
            trial.number,
        )

    return min(filter(is_near, trials), key=complexity)


def no_result(study):
    """Why a study has no completed trial."""
    trials = study.get_trials(deepcopy=False)
    errors = sorted({trial.user_attrs["error"] for trial in trials if "error" in trial.user_attrs})
    if not errors:
        return f"None of the {len(trials)} trials was completed: raise timeout or n_trials."
    listed = "\n".join(f"- {error}" for error in errors[:5])
    n_failed = sum("error" in trial.user_attrs for trial in trials)
    return f"No trial was completed; {n_failed} failed. Reasons:\n{listed}"
