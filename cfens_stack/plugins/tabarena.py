"""TabArena and TabRepo: CFEnsemble as an ensembler of their simulation."""

import numpy as np
from sklearn.exceptions import NotFittedError

from cfens_stack.plugins.ensembles import clone_for_adapter
from cfens_stack.plugins.tabrepo_files import prediction_matrix
from cfens_stack.validation import encode_labels, filled


class TabArenaEnsembler:
    """CFEnsemble with the interface of TabArena's `AbstractEnsembler`, which TabRepo's
    `ensemble_method` shares.

    Pass the class as `ensembler_cls` of TabArena's `EnsembleScorer`, with `use_fast_metrics=False`:
    the fast metrics replace the predictions by numbers that only a weighted sum understands.

    Parameters
    ----------
    problem_type : {"binary", "multiclass"}
    metric : object, default=None
        Ignored, like `ensemble_size`: they are what every ensembler is given.
    ensemble : estimator, default=None
        `CFEnsemble()` if None; else it is cloned. `layout="auto"` is replaced by the layout that is
        passed.

    Attributes
    ----------
    ensemble_ : estimator
    classes_ : ndarray of int
        Classes that the labels hold; the others get probability 0.
    weights_ : ndarray of shape (m,)
        NaN, for the tables of TabRepo: the probabilities are no weighted sum.
    """

    linear = False

    def __init__(self, *, problem_type, metric=None, ensemble=None, ensemble_size=None):
        if problem_type not in ("binary", "multiclass"):
            raise ValueError(
                f"TabArenaEnsembler combines classifiers; problem_type is {problem_type!r}."
            )
        self.problem_type = problem_type
        self.metric = metric
        self.ensemble = ensemble

    def fit(self, predictions, labels, time_limit=None):
        """Fit on one split.

        Parameters
        ----------
        predictions : array-like of shape (m, n) or (m, n, K)
            Probabilities of class 1, or of all classes, of every model.
        labels : array-like of shape (n,)
            Class codes 0 to K - 1, NaN where unknown.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If labels are no class codes, or are of one class only.
        """
        n_classes = 2 if np.ndim(predictions) == 2 else np.shape(predictions)[2]
        classes, _ = encode_labels(labels)
        if not set(classes.tolist()) <= set(range(n_classes)):
            raise ValueError(
                f"labels hold {classes.tolist()}, but the predictions are of {n_classes} classes: "
                f"pass class codes 0 to {n_classes - 1}, NaN where unknown."
            )
        self.classes_ = classes.astype(int)
        self.ensemble_ = clone_for_adapter(self.ensemble, len(self.classes_)).fit(
            self._matrix(predictions), labels
        )
        self.weights_ = np.full(len(predictions), np.nan)
        return self

    def predict_proba(self, predictions):
        """Probabilities of shape (n,), class 1, if the predictions are (m, n); else of shape (n,
        K).
        """
        if not hasattr(self, "ensemble_"):
            raise NotFittedError("This TabArenaEnsembler is not fitted yet: call fit first.")
        P = self.ensemble_.predict_proba(self._matrix(predictions))
        if np.ndim(predictions) == 2:
            return P[:, 1]
        full = np.zeros((len(P), np.shape(predictions)[2]))
        full[:, self.classes_] = P
        return full

    def predict(self, predictions, problem_type=None):
        """Class codes, shape (n,)."""
        P = self.predict_proba(predictions)
        return P.argmax(axis=1) if P.ndim == 2 else (P >= 0.5).astype(int)

    def model_weights(self):
        """None: there are none that would give the probabilities."""
        return

    def models_used(self):
        """All of them: ndarray of bool, shape (m,)."""
        return np.ones(len(self.weights_), dtype=bool)

    def info(self):
        """Nothing for TabArena to keep beside the scores."""
        return {}

    def _matrix(self, predictions):
        P = np.asarray(filled(predictions), dtype=np.float64)
        if P.ndim == 3 and P.shape[2] > len(self.classes_):
            P = P[:, :, self.classes_]
            total = P.sum(axis=2, keepdims=True)
            P = P / np.where(total > 0, total, np.nan)
        return prediction_matrix(P)
