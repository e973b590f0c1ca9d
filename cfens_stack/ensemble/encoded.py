"""What fits that agree in link, smoothing and layout share, and the Problem that each makes of it.

Each step is a sum over the rows, of which only the total comes here.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from cfens_stack.ensemble.completion import learn_completion
from cfens_stack.ensemble.confidence import brier_sums, calibration_from, mean_sums
from cfens_stack.ensemble.encoder import Encoder
from cfens_stack.ensemble.engines import Partitions
from cfens_stack.ensemble.posterior import class_weights
from cfens_stack.ensemble.training import Problem
from cfens_stack.kernels.missing_patterns import second_moment

# Parameters that the encoded rows depend on.
ENCODING = ("layout", "pos_label", "strict", "link", "smoothing", "aggregator", "n_classifiers")


@dataclass(frozen=True, eq=False)
class Encoded:
    """Rows as a fit sees them before confidence, rank and regularisation matter.

    Attributes
    ----------
    key : tuple
        `encoding_key` of the settings that they were encoded for.
    classes : ndarray of shape (K,)
    order : ndarray of int, shape (K,)
        Code of each class.
    names : ndarray of shape (m,) or None
        Of the columns of R, if they have any.
    rows : Partitions of Rows
        With Z, without C.
    encoder : Encoder
        Without confidence, its scale, ridge and completion.
    mass : ndarray of shape (K,)
        Weight of the labelled rows of each class.
    v_sum : float
        Weight of all rows.
    n_labelled : int
    slopes : ndarray of shape (q,)
        Calibration slopes, >= 0.
    """

    key: tuple
    classes: np.ndarray
    order: np.ndarray
    names: np.ndarray | None
    rows: Partitions
    encoder: Encoder
    mass: np.ndarray
    v_sum: float
    n_labelled: int
    slopes: np.ndarray

    @property
    def nbytes(self):
        """Of the encoded predictions."""
        return sum(self.rows.gather(bytes_of_encoding))


def encoding_key(settings):
    """What the encoded rows depend on besides the data: a hashable tuple."""
    # A callable confidence says which cells count; the named ones come later.
    asked = settings.confidence if callable(settings.confidence) else None
    return (asked, *(getattr(settings, name, None) for name in ENCODING))


def check_encoded(settings, encoded):
    """The rows, if they were encoded for such settings: Encoded."""
    for name, own, given in zip(
        ("confidence", *ENCODING), encoding_key(settings), encoded.key, strict=True
    ):
        if own != given:
            raise ValueError(
                f"The rows were encoded with {name}={given!r}, but {name}={own!r}: encode them "
                "again, by `encode` of an estimator with the same parameters."
            )
    return encoded


def make_problem(encoded, settings):
    """What a trainer is given.

    Parameters
    ----------
    encoded : Encoded
    settings : estimator
        Read for its parameters.

    Returns
    -------
    Problem
    """
    encoder, layout, v_sum = encoded.encoder, encoded.encoder.layout, encoded.v_sum
    encoder = replace(
        encoder,
        confidence=settings.confidence,
        column_confidence=column_confidence(encoded.rows, settings, layout),
    )
    rows = encoded.rows.map(partial(weigh, encoder=encoder))
    cells, total = rows.sum(confidence_sums)
    rows = rows.map(partial(scale_confidence, factor=cells / total))
    encoder = replace(
        encoder, confidence_scale=cells / total, ridge=float(settings.lambda_reg * cells / v_sum)
    )
    gram, missing, changes = None, None, []
    if settings.uncertainty:
        encoder, gram, missing, changes = learn_to_complete(rows, encoder, settings, v_sum)
        if changes:
            rows = rows.map(partial(complete, completion=encoder.completion))
            cells = v_sum * len(encoder.means)
    mass = encoded.mass
    return Problem(
        rows=rows,
        encoder=encoder,
        mass=mass,
        n_labelled=encoded.n_labelled,
        class_weights=class_weights(mass) if settings.use_class_weights else np.ones(len(mass)),
        slopes=encoded.slopes,
        ridge_x=float(settings.lambda_reg * cells / len(encoder.means)),
        nonnegative=settings.nonnegative and layout.kind != "scores",
        missing_moment=missing,
        changes=changes,
        gram=gram,
    )


def learn_to_complete(rows, encoder, settings, v_sum):
    """The encoder with its completion, the second moment of completed rows, what the uncertainty of
    filled cells adds to it (None where there are none), and the changes that EM made.
    """
    q = len(encoder.means)
    completion, moment, changes = learn_completion(
        rows,
        min(settings.latent_dim, q),
        settings.lambda_reg,
        v_sum,
        n_outputs=encoder.layout.n_outputs,
        per_cell=encoder.confidence == "certainty" or callable(encoder.confidence),
        max_iter=settings.max_iter,
        tol=settings.tol,
    )
    # A completed row has q cells of mean confidence 1: the ridge of a complete row.
    encoder = replace(encoder, completion=completion, ridge=float(settings.lambda_reg * q))
    if not changes:
        return encoder, moment, None, changes
    (filled,) = rows.sum(partial(completed_moment, completion=completion))
    return encoder, filled, moment - filled, changes


def column_confidence(rows, settings, layout):
    """One number per column: 1 - Brier score with "calibration", else 1."""
    if settings.confidence == "calibration" and layout.kind != "scores":
        return calibration_from(*rows.sum(partial(brier_score_sums, layout=layout)))
    return np.ones(len(layout.columns))


# Steps on the rows of one partition.


def bytes_of_encoding(rows):
    """Of Z."""
    return rows.Z.nbytes


def brier_score_sums(rows, layout):
    """Sums behind the Brier score of each column."""
    rows = rows.labelled()
    return brier_sums(rows.R, layout.targets(rows.y), rows.v)


def weigh(rows, encoder):
    """With C, not yet scaled."""
    return replace(rows, given=None, C=encoder.cell_confidence(rows.R, rows.observed, rows.given))


def confidence_sums(rows):
    """Weight of the observed cells, and the sum of their confidence."""
    return mean_sums(rows.C, rows.v)


def complete(rows, completion):
    """With missing cells filled in Z and C."""
    Z, C = completion.fill(rows.Z, rows.C)
    return replace(rows, Z=Z, C=C)


def completed_moment(rows, completion):
    """Z'VZ of completed rows."""
    return (second_moment(completion.fill(rows.Z, rows.C)[0], rows.v),)


def scale_confidence(rows, factor):
    """With C of mean 1 over observed cells."""
    return replace(rows, C=rows.C * factor)
