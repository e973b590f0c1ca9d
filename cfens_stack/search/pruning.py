"""When a trial is given up before its last fold: a paired test against the best trial."""

import numpy as np
from scipy.special import stdtr

HOPELESS_ROW_Z = -3.0


def corrected_standard_error(values, overlap):
    """Standard error of the mean over folds whose training parts overlap: sqrt((1 / J + overlap)
    var(values)).

    Parameters
    ----------
    values : array-like of shape (J,), J >= 2
        Scores, or differences of scores.
    overlap : float
        Mean of test rows over training rows: 1 / (k - 1) for k folds.

    References
    ----------
    C. Nadeau, Y. Bengio (2003), "Inference for the generalization error", Machine Learning 52.
    """
    return float(np.sqrt((1.0 / len(values) + overlap) * np.var(values, ddof=1)))


class FoldPruner:
    """Optuna pruner for cross-validation: stops a trial whose folds are significantly behind those
    of the best.

    The corrected resampled t-test, one-sided, on the differences d_k of the scores on the J folds
    seen so far: t = mean(d) / sqrt((1 / J + overlap) var(d)) with J - 1 degrees of freedom. The
    overlap of training parts makes fold scores depend on each other; without that term, repeated
    folds prune trials that are as good. Optuna's WilcoxonPruner lacks it, and with ties between
    folds SciPy's exact test took longer than the fits of small data.

    Parameters
    ----------
    overlap : float
        Mean of test rows over training rows: 1 / (k - 1) for k folds.
    p_threshold : float, default=0.1
    n_startup_folds : int, default=3
        Folds before a trial is stopped by this test.
    least_row_z : float, default=-inf
        A trial whose rows are further behind the default configuration in log score, in standard
        errors over the rows seen, is stopped whatever the fold; its user attribute "row_z" says
        how far they are. Such a trial cannot be selected where a gain in log score is asked for.

    References
    ----------
    C. Nadeau, Y. Bengio (2003), "Inference for the generalization error", Machine Learning 52.
    """

    def __init__(self, overlap, *, p_threshold=0.1, n_startup_folds=3, least_row_z=-np.inf):
        self.overlap = overlap
        self.p_threshold = p_threshold
        self.n_startup_folds = n_startup_folds
        self.least_row_z = least_row_z

    def prune(self, study, trial):
        """Whether the trial should stop: Optuna's protocol."""
        if trial.user_attrs.get("row_z", 0.0) < self.least_row_z:
            return True
        try:
            best = study.best_trial.intermediate_values
        except ValueError:  # no completed trial yet
            return False
        scores = trial.intermediate_values
        differences = np.array([scores[fold] - best[fold] for fold in scores if fold in best])
        if len(differences) < self.n_startup_folds or differences.mean() >= 0:
            return False
        return bool(self.p_value(differences) < self.p_threshold)

    def p_value(self, differences):
        """Probability of a mean difference as low as this one between equals."""
        error = corrected_standard_error(differences, self.overlap)
        with np.errstate(divide="ignore"):
            return stdtr(len(differences) - 1, differences.mean() / error)
