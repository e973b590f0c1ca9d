"""Encoder: what a fit learns about the columns of R, and what it makes of R: (R) -> (Z, C)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cfens_stack.ensemble.aggregator import log_odds_slope
from cfens_stack.ensemble.completion import Completion
from cfens_stack.ensemble.confidence import certainty, check_confidence
from cfens_stack.ensemble.layout import Layout
from cfens_stack.ensemble.link import apply_link, invert_link, standardise


@dataclass(frozen=True, eq=False)
class Encoder:
    """From predictions R (n, m) to centred link-scale predictions Z and confidence C, and back.

    Attributes
    ----------
    n_features : int
        Number m of columns of R.
    layout : Layout
        The q columns in use and what they mean.
    link : {"logit", "identity"}
    smoothing : float
        e of the logit link.
    means : ndarray of shape (q,)
        mu, mean link-scale prediction of each column.
    scale : float
        s, root mean square of the link-scale predictions about their means.
    seen : ndarray of bool, shape (q,)
        Columns with a prediction in training; with several classes a model may lack one class.
    confidence : {"uniform", "certainty", "calibration"} or callable
    column_confidence : ndarray of shape (q,)
        One number per column: 1, or with "calibration" 1 - Brier score.
    confidence_scale : float
        What gives the confidence of the training rows mean 1 over observed cells.
    ridge : float
        Ridge of the rows' systems in equation (4), lambda N / n.
    completion : Completion or None
        What fills missing cells, equation (4a); None leaves them out, as the published method does.
    """

    n_features: int
    layout: Layout
    link: str
    smoothing: float
    means: np.ndarray
    scale: float
    seen: np.ndarray
    confidence: str | Callable
    column_confidence: np.ndarray
    confidence_scale: float = 1.0
    ridge: float = np.nan
    completion: Completion | None = None

    def encode(self, R):
        """Centred predictions and confidence of new rows.

        Parameters
        ----------
        R : ndarray of shape (n, m)
            Checked predictions, NaN where missing.

        Returns
        -------
        Z : ndarray of shape (n, q)
            0 in missing cells.
        C : ndarray of shape (n, q), or (q,) where it is the same in all rows
            0 in missing cells.
        """
        given = check_confidence(self.confidence, R, None)
        R, given = self.layout.select(R), None if given is None else self.layout.select(given)
        G = apply_link(R, self.link, self.smoothing, self.layout.n_outputs)
        observed = np.isfinite(R)
        observed = None if observed.all() else observed
        return self.centre(G, observed), self.cell_confidence(R, observed, given)

    def complete(self, Z, C):
        """Z and C as `fold_in` takes them: with missing cells filled, if there is a completion."""
        return (Z, C) if self.completion is None else self.completion.fill(Z, C)

    def centre(self, G, observed):
        """Z from the link-scale predictions of the columns in use: ndarray of shape (n, q); observed
        None: nothing is missing.
        """
        return standardise(G, observed, self.means, self.scale)

    def cell_confidence(self, R, observed, given=None):
        """C of the columns in use: (q,) where it is one number per column and no cell is missing
        (observed None).

        `given` (n, q) is what a callable confidence returned, else None.
        """
        if given is not None:
            C = given
        elif self.confidence == "certainty" and self.layout.kind != "scores":
            C = certainty(R)
        else:
            C = self.column_confidence
        C = C * self.confidence_scale
        return C if observed is None else np.where(observed, C, 0.0)

    def decode(self, Z):
        """Predictions (n, m) that centred ones (n, q) stand for; a column not in use stays NaN."""
        R = np.full((len(Z), self.n_features), np.nan)
        G = self.means + self.scale * Z
        if self.link == "logit":
            G[:, ~self.seen] = -np.inf  # a class that a model never gave a probability has none
        columns, mirrors = self.layout.columns, self.layout.mirrors
        R[:, columns] = invert_link(G, self.link, self.smoothing, self.layout.n_outputs)
        if mirrors is not None:
            R[:, mirrors] = 1.0 - R[:, columns]
        return R

    def deviations(self, R):
        """Standard deviation of the missing predictions of each row on the link scale, 0 where there
        is one and NaN in columns not in use: ndarray of shape (n, m).
        """
        _, C = self.encode(R)
        variance = None if self.completion is None else self.completion.cell_variance(C)
        std = np.full((len(R), self.n_features), np.nan)
        std[:, self.layout.columns] = 0.0 if variance is None else self.scale * np.sqrt(variance)
        if self.layout.mirrors is not None:
            std[:, self.layout.mirrors] = std[:, self.layout.columns]
        return std

    @property
    def log_odds_unit(self):
        """Log-odds that a calibrated model means by a unit of Z."""
        return self.scale * log_odds_slope(self.layout.n_outputs, self.link)

    def all_columns(self, values):
        """Values of the columns in use, the last axis, as those of all columns: 0 elsewhere."""
        spread = np.zeros((*values.shape[:-1], self.n_features))
        spread[..., self.layout.columns] = values
        return spread
