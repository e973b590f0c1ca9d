"""Imputation for peers that cannot take missing cells: four ways, and the choice among them by
inner validation.
"""

import time
import warnings

import numpy as np
from peers import PEERS, bounded
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score


def row_mean(R, R_test):
    """Mean of the predictions that a row has; the overall mean for a row without any."""
    overall, filled = np.nanmean(R), []
    for M in (R, R_test):
        known = np.isfinite(M)
        count = known.sum(axis=1, keepdims=True)
        means = np.where(known, M, 0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
        filled.append(np.where(known, M, np.where(count > 0, means, overall)))
    return filled


def by_imputer(make):
    def fill(R, R_test):
        imputer = make().fit(R)
        return imputer.transform(R), imputer.transform(R_test)

    return fill


IMPUTATIONS = {
    "column mean": by_imputer(SimpleImputer),
    "row mean": row_mean,
    "kNN": by_imputer(KNNImputer),
    "iterative": by_imputer(lambda: IterativeImputer(min_value=0.0, max_value=1.0, random_state=0)),
}
NO_PROBE = ("plain average", "best single model")


class Imputed:
    """Complete matrices of a case for each peer, made when first asked for.

    The imputation is chosen once a case, by the three-fold cross-validated log loss of logistic
    regression on the labelled training rows. The plain average and the best single model, whose
    training predictions are out of fold by themselves, choose by their own log loss.
    """

    def __init__(self, case):
        used = np.isfinite(case.R).any(axis=0)  # a model that failed everywhere is left out
        self.case, self.R, self.R_test = case, case.R[:, used], case.R_test[:, used]
        self.filled, self.seconds, self.choices = {}, {}, {}

    def matrices(self, peer):
        """Labelled training rows and test rows for a peer; and the imputation's name."""
        chosen = self._choice(peer if peer in NO_PROBE else "probe")
        R, R_test = self._fill(chosen)
        return R[self.case.labelled], R_test, chosen

    def _choice(self, by):
        if not (np.isnan(self.R).any() or np.isnan(self.R_test).any()):
            return "row mean"  # nothing to fill
        if by not in self.choices:
            losses = {name: self._loss(by, *self._fill(name)) for name in IMPUTATIONS}
            self.choices[by] = min(losses, key=losses.get)
        return self.choices[by]

    def _loss(self, by, R, R_test):
        R, y = R[self.case.labelled], self.case.y[self.case.labelled]
        if by == "probe":
            return -cross_val_score(LogisticRegression(), R, y, cv=3, scoring="neg_log_loss").mean()
        P = as_classes(R)
        return log_loss(y, bounded(PEERS[by](P, y, P)[0]))

    def _fill(self, name):
        if name not in self.filled:
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                self.filled[name] = IMPUTATIONS[name](self.R, self.R_test)
            self.seconds[name] = time.perf_counter() - start
        return self.filled[name]


def as_classes(R):
    """(n, m) probabilities of class 1 as (n, m, 2)."""
    return np.stack([1 - R, R], axis=2)
