"""What looks wrong in new predictions: values that are no probabilities, a model that is stuck."""

import numpy as np

from cfens_stack.ensemble.layout import SUM_TOLERANCE
from cfens_stack.validation import warn_user

VARIED_FROM = 1e-6  # of the largest factor: less is rounding
STUCK_ROWS = 100  # fewer rows may well get one and the same prediction


class Monitor:
    """Sees blocks of new rows, and reports on all of them at the end.

    Parameters
    ----------
    encoder : Encoder
    names : ndarray of shape (m,)
        Of all columns of R.
    factors : ndarray of shape (q, d)
        Of the columns in use; 0 for one that did not vary in training.
    strict : bool
        Raise, not warn, where a value is outside [0, 1].
    """

    def __init__(self, encoder, names, factors, strict):
        self.encoder = encoder
        self.names = names[encoder.layout.columns]
        size = np.linalg.norm(factors, axis=1)
        self.varied = size > VARIED_FROM * size.max()
        self.strict = strict
        q = len(self.names)
        self.n_rows, self.n_outside = np.zeros(q, dtype=int), 0
        self.least, self.largest = np.full(q, np.inf), np.full(q, -np.inf)

    def see(self, R):
        """Take note of checked rows (n, m)."""
        R = R[:, self.encoder.layout.columns]
        observed = np.isfinite(R)
        self.n_rows += observed.sum(axis=0)
        self.least = np.fmin(self.least, np.min(np.where(observed, R, np.inf), axis=0))
        self.largest = np.fmax(self.largest, np.max(np.where(observed, R, -np.inf), axis=0))
        if self.encoder.layout.kind != "scores":
            self.n_outside += int(np.sum(np.abs(R - 0.5) > 0.5 + SUM_TOLERANCE))

    def report(self):
        """Raise or warn of what was seen."""
        if self.n_outside:
            self._tell_of_outside()
        stuck = self.varied & (self.n_rows >= STUCK_ROWS) & (self.least == self.largest)
        if self.encoder.layout.kind != "scores":
            stuck &= (self.least > 0.0) & (self.least < 1.0)  # where a rare class may be absent
        if stuck.any():
            u = int(stuck.argmax())
            warn_user(
                f"Columns {self.names[stuck].tolist()} of R have one value in all rows, the first "
                f"{self.least[u]:g} in {self.n_rows[u]}. If these models are stuck, pass NaN for "
                "them: a missing prediction does less harm than a wrong one."
            )

    def _tell_of_outside(self):
        message = (
            f"{self.n_outside} predictions are outside [0, 1], from {self.least.min():g} to "
            f"{self.largest.max():g}, but this ensemble was fitted on probabilities"
        )
        if self.strict:
            raise ValueError(f"strict=True: {message}. Pass probabilities.")
        warn_user(
            f"{message}. They are taken for 0 or 1: pass probabilities, not log-odds or per cent."
        )
