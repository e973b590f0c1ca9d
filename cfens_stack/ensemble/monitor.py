"""What looks wrong in new predictions: values that are no probabilities, a model that is stuck."""

import threading

import numpy as np

from cfens_stack.ensemble.layout import SUM_TOLERANCE
from cfens_stack.validation import warn_user

VARIED_FROM = 1e-6  # of the largest factor: less is rounding
STUCK_ROWS = 100  # fewer rows may well get one and the same prediction


class Monitor:
    """Sees blocks of new rows, from several threads, and reports on all of them at the end.

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
        self.constant = size > VARIED_FROM * size.max()  # those that varied, but have not here
        self.strict = strict
        self.n_rows, self.value = np.zeros(len(size), dtype=int), np.full(len(size), np.nan)
        self.n_outside, self.least, self.largest = 0, np.inf, -np.inf
        self.lock = threading.Lock()

    def see(self, R):
        """Take note of checked rows (n, m)."""
        R = self.encoder.layout.select(R)
        if self.encoder.layout.kind != "scores":
            is_outside = np.abs(R - 0.5) > 0.5 + SUM_TOLERANCE
            if is_outside.any():
                with self.lock:
                    self.n_outside += int(np.count_nonzero(is_outside))
                    self.least = min(self.least, R[is_outside].min())
                    self.largest = max(self.largest, R[is_outside].max())
        if self.constant.any():
            with self.lock:
                self._see_constant(R)

    def _see_constant(self, R):
        """Which of the columns that have had one value so far still have."""
        columns = np.flatnonzero(self.constant)
        R = R[:, columns]
        observed = np.isfinite(R)
        first = np.where(
            observed.any(axis=0), R[observed.argmax(axis=0), range(len(columns))], np.nan
        )
        value = np.where(np.isnan(self.value[columns]), first, self.value[columns])
        self.constant[columns] = ~(observed & (value != R)).any(axis=0)
        self.value[columns] = value
        self.n_rows[columns] += observed.sum(axis=0)

    def report(self):
        """Raise or warn of what was seen."""
        if self.n_outside:
            self._tell_of_outside()
        stuck = self.constant & (self.n_rows >= STUCK_ROWS)
        if self.encoder.layout.kind != "scores":
            stuck &= (self.value > 0.0) & (self.value < 1.0)  # where a rare class may be absent
        if stuck.any():
            u = int(stuck.argmax())
            warn_user(
                f"Columns {self.names[stuck].tolist()} of R have one value in all rows, the first "
                f"{self.value[u]:g} in {self.n_rows[u]}. If these models are stuck, pass NaN for "
                "them: a missing prediction does less harm than a wrong one."
            )

    def _tell_of_outside(self):
        message = (
            f"{self.n_outside} predictions are outside [0, 1], from {self.least:g} to "
            f"{self.largest:g}, but this ensemble was fitted on probabilities"
        )
        if self.strict:
            raise ValueError(f"strict=True: {message}. Pass probabilities.")
        warn_user(
            f"{message}. They are taken for 0 or 1: pass probabilities, not log-odds or per cent."
        )
