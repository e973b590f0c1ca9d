"""Models of the default pool whose size is an absolute number, on tables with fewer rows than that:
scikit-learn's raise or warn, these take what there is.
"""

from functools import wraps

from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier


class NeighboursAtMost(KNeighborsClassifier):
    """`KNeighborsClassifier` of `n_neighbors` neighbours, or all rows if these are fewer."""

    @wraps(KNeighborsClassifier.kneighbors)
    def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
        others = self.n_samples_fit_ - (X is None)  # a row is no neighbour of its own
        n_neighbors = min(self.n_neighbors if n_neighbors is None else n_neighbors, others)
        return super().kneighbors(X, n_neighbors, return_distance)


class BatchesAtMost(MLPClassifier):
    """`MLPClassifier` with batches of `batch_size` rows, or of all if these are fewer."""

    batch_size: int

    @wraps(MLPClassifier.fit)  # whether it takes sample_weight depends on scikit-learn's version
    def fit(self, X, y, **params):
        batch_size = self.batch_size
        self.batch_size = min(batch_size, X.shape[0])
        try:
            return super().fit(X, y, **params)
        finally:
            self.batch_size = batch_size
