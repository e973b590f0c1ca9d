"""What a search is after: scorers, the class they take for positive, the threshold of decisions."""

import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, get_scorer, get_scorer_names

from cfens_stack.search.scorers import NegativeCost, RecallAtPrecision

# Scores of predicted classes whose best threshold is no end of the scale. Accuracy is left out: of
# calibrated probabilities it is 1/2, and one that is looked for has cost accuracy on real sets.
DECISIONS = frozenset(
    ["balanced_accuracy", "matthews_corrcoef"]
    + [name + average for name in ("f1", "jaccard") for average in ("", "_macro", "_weighted")]
)
# Scores that change when the two classes change places.
OF_ONE_CLASS = frozenset(["average_precision", "f1", "jaccard", "precision", "recall"])
OWN = (NegativeCost, RecallAtPrecision)
MOST_THRESHOLDS = 40  # a metric of scikit-learn takes about a millisecond


class Predicted(ClassifierMixin, BaseEstimator):
    """A classifier of codes 0 to K - 1 whose input are its probabilities, for scorers.

    Parameters
    ----------
    n_classes : int
    threshold : float, default=None
        Of two classes, code 1 is predicted from here on; None: the most probable class.
    labels : ndarray of shape (K,), default=None
        What is predicted instead of the codes, for scorers that see the labels as given.
    """

    def __init__(self, n_classes, threshold=None, labels=None):
        self.n_classes = n_classes
        self.threshold = threshold
        self.labels = labels

    @property
    def classes_(self):
        """Codes 0 to K - 1, or the labels in order."""
        return np.arange(self.n_classes) if self.labels is None else np.sort(self.labels)

    def fit(self, P, y):
        """Nothing to learn."""
        return self

    def predict_proba(self, P):
        """The input: ndarray of shape (n, K)."""
        return P

    def predict(self, P):
        """Codes, or labels: ndarray of shape (n,)."""
        level = self.threshold
        codes = P.argmax(axis=1) if level is None else (P[:, 1] >= level).astype(int)
        return codes if self.labels is None else self.labels[codes]

    def __sklearn_is_fitted__(self):
        return True


@dataclass(frozen=True)
class Aim:
    """One score of a search; greater is better.

    Attributes
    ----------
    name : str
    scorer : callable (estimator, R, y) -> float
    is_named : bool
        Whether it is a scorer of scikit-learn by name, or of this package, which sees codes, 1 for
        the positive class; any other callable sees the estimator and the labels as given.
    takes_weights : bool
    is_of_decisions : bool
        Whether a threshold belongs to what is scored, if there are two classes.
    """

    name: str
    scorer: Any
    is_named: bool
    takes_weights: bool
    is_of_decisions: bool

    @property
    def text(self):
        """The name, with the settings of a scorer that was made: the same in every process."""
        is_made = isinstance(self.scorer, OWN) or (not self.is_named and self.is_of_decisions)
        return repr(self.scorer) if is_made else self.name

    def within_folds(self):
        """The aim that scores a fold at a threshold that was chosen on all folds: Aim."""
        return replace(self, scorer=getattr(self.scorer, "within_folds", self.scorer))

    def __call__(self, *scored, v):
        """The score of an estimator on rows and labels: float."""
        weights = {"sample_weight": v} if v is not None and self.takes_weights else {}
        # Weights go to scorers that take them, requested or not; names and codes are valid.
        settings = {"enable_metadata_routing": False, "skip_parameter_validation": self.is_named}
        with config_context(**settings):
            return float(self.scorer(*scored, **weights))


def make_aims(scoring):
    """Aims of a name, a callable, or a tuple or list of them: tuple of Aim."""
    several = scoring if isinstance(scoring, tuple | list) else (scoring,)
    if not several:
        raise ValueError(f"scoring={scoring!r} is empty: pass a name, or several.")
    aims = []
    for place, one in enumerate(several):
        if not isinstance(one, str) and not callable(one):
            raise ValueError(
                f"scoring holds {one!r}: pass names of scikit-learn scorers, or callables "
                "(estimator, R, y) -> float."
            )
        aims.append(_make_aim(one, place))
    if len({aim.name for aim in aims}) < len(aims):
        raise ValueError(f"scoring={scoring!r} names a score twice: pass each once.")
    return tuple(aims)


def _make_aim(one, place):
    if isinstance(one, str):
        scorer = get_scorer(one)
        return Aim(one, scorer, True, _takes_weights(scorer), one in DECISIONS)
    if isinstance(one, OWN):
        return Aim(one.name, one, True, True, True)
    # What `make_scorer` returns for a metric of predicted classes, with the metric inside.
    metric = getattr(one, "_score_func", None)
    name = getattr(one if metric is None else metric, "__name__", f"score {place}")
    decides = getattr(one, "_response_method", None) == "predict" and metric is not accuracy_score
    return Aim(name, one, False, _takes_weights(one), decides)


def check_number_of_classes(aims, n_classes):
    """Refuse scores by name that cannot judge as many classes, before any trial is run."""
    P = np.full((n_classes, n_classes), 0.5 / (n_classes - 1))
    np.fill_diagonal(P, 0.5)
    for aim in aims:
        if not aim.is_named or (n_classes == 2 and not isinstance(aim.scorer, OWN)):
            continue
        try:
            aim(Predicted(n_classes), P, np.arange(n_classes), v=None)
        except ValueError as error:
            names = [f"{aim.name}{suffix}" for suffix in ("_macro", "_weighted", "_ovr", "_ovo")]
            known = [repr(name) for name in names if name in get_scorer_names()]
            advised = known or ["'f1_macro'", "'roc_auc_ovr'", "'neg_log_loss'"]
            if isinstance(aim.scorer, NegativeCost):
                raise  # it says what to pass
            raise ValueError(
                f"scoring={aim.name!r} cannot score {n_classes} classes ({error}): pass "
                f"{' or '.join(advised)}."
            ) from error


def best_threshold(aim, P, codes, v, labels=None):
    """The threshold on the probability of code 1 with the best score on all rows together: float.

    Parameters
    ----------
    aim : Aim
        Of decisions.
    P : ndarray of shape (n, 2)
        Out-of-fold probabilities, pooled over the folds.
    codes : ndarray of int, shape (n,)
    v : ndarray of shape (n,) or None
    labels : ndarray of shape (2,), default=None
        Of the codes, for a scorer that sees labels.
    """
    p, v = P[:, 1], np.ones(len(P)) if v is None else v
    # Between two positive rows a higher threshold only drops false positives: the best is at one.
    levels = np.unique(p[codes == 1])
    if len(levels) > MOST_THRESHOLDS:
        levels = np.unique(np.quantile(levels, np.linspace(0.0, 1.0, MOST_THRESHOLDS)))
    levels = np.append(levels, np.nextafter(p.max(), np.inf))  # the last: no row is positive
    if not aim.takes_weights:
        known = codes if labels is None else labels[codes]
        scores = [aim(Predicted(2, level, labels), P, known, v=None) for level in levels]
        return float(levels[np.argmax(scores)])
    order = np.argsort(p)
    above = len(p) - np.searchsorted(p[order], levels)
    mass = [np.cumsum([0.0, *(v * (codes == code))[order][::-1]]) for code in (0, 1)]
    scores = [
        _score_of_counts(aim, labels, *(m[-1] - m[n] for m in mass), *(m[n] for m in mass))
        for n in above
    ]
    return float(levels[np.argmax(scores)])


def _score_of_counts(aim, labels, *counts):
    """The score of a table of counts (true negatives, false negatives, false and true positives):
    four rows with these weights.
    """
    P = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    seen = np.array(counts) > 0
    known = np.array([0, 1, 0, 1]) if labels is None else labels[[0, 1, 0, 1]]
    return aim(Predicted(2, labels=labels), P[seen], known[seen], v=np.array(counts)[seen])


def _takes_weights(scorer):
    """Whether the metric behind a scorer, or the scoring function itself, has an argument for
    weights.
    """
    function = getattr(scorer, "_score_func", scorer)
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False
