"""From the trials of a study to what is refitted: the best, the simplest near it, or an average of
several.
"""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from cfens_stack.search.pruning import corrected_standard_error

SELECTIONS = ("best", "one-standard-error", "average")


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


def ranked_trials(study):
    """Completed trials that are no copies, best first; of equals the earlier one."""
    completed = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.name == "COMPLETE" and "copy_of" not in trial.user_attrs
    ]
    return sorted(completed, key=lambda trial: (-trial.value, trial.number))


def simplest_near_best(trials, space, overlap):
    """The simplest of the trials whose score is within one standard error of the best.

    The standard error is that of the paired difference over the folds, which all trials share, with
    the correction for overlapping training parts. Simplest are configurations that were not
    searched for, the default before the guide's; then ALS before PyTorch, smaller rank, stronger
    regularisation.

    Parameters
    ----------
    trials : list of optuna trials
        Completed ones, best first.
    space : Space
    overlap : float
        Mean of test rows over training rows of a fold.

    References
    ----------
    L. Breiman, J. Friedman, R. Olshen, C. Stone (1984), "Classification and regression trees",
    section 3.4.3.
    """
    best = np.array(list(trials[0].intermediate_values.values()))

    def is_near(trial):
        behind = best - np.array(list(trial.intermediate_values.values()))
        error = corrected_standard_error(behind, overlap) if len(behind) > 1 else 0.0
        return behind.mean() <= error

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
    return f"No trial was completed; {sum('error' in t.user_attrs for t in trials)} failed. Reasons:\n{listed}"
