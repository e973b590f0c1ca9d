"""Base models that fail or warn: the record, the warning, the error."""

import textwrap
import traceback
from collections.abc import Iterable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from cfens_stack.validation import warn_user

NOT_STARTED = "NotStarted"  # in place of an exception's name
LONGEST = 200  # characters of a base model's own warning in ours


class BaseModelWarning(UserWarning):
    """A base model did less than it was asked for: predictions are missing, it took no weights, or
    it warned in its fits.
    """


class BaseModelError(RuntimeError):
    """A base model failed under `on_failure="raise"`."""


@dataclass(frozen=True)
class FitFailure:
    """Why predictions of a base model are missing.

    Parameters
    ----------
    model : str
        Name of the base model.
    fold : int or None
        Number of the fold, counted from 0 in the order of the splits; None for the model that
        predicts new rows.
    reason : str
        The exception, or what was wrong with the predictions.
    error_type : str, default="ValueError"
        Name of the exception's class.
    traceback : str, default=""
        Traceback in the process that fitted the model, empty if nothing was raised.
    """

    model: str
    fold: int | None
    reason: str
    error_type: str = field(default="ValueError", repr=False)
    traceback: str = field(default="", repr=False)

    def __str__(self):
        return f"base model {self.model!r}, {where(self.fold)}: {self.reason}"


@dataclass(frozen=True)
class FitWarning:
    """What a base model warned of while it was fitted.

    Parameters
    ----------
    model : str
        Name of the base model.
    fold : int or None
        Number of the fold, counted from 0 in the order of the splits; None for the model that
        predicts new rows.
    category : str
        Name of the warning's class.
    message : str
    """

    model: str
    fold: int | None
    category: str
    message: str


def where(fold):
    """Words for a fold."""
    return "final fit" if fold is None else f"fold {fold}"


def not_started(model, fold, time_limit):
    """Record of a fit that the time limit left out."""
    reason = f"not started, since time_limit={time_limit} seconds were over or would have been"
    return FitFailure(model, fold, reason, NOT_STARTED)


def failure_of(model, fold, error):
    """Record of an exception."""
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, BrokenProcessPool):
        reason = "the process that fitted it died (crash, out of memory, or killed from outside)"
    return FitFailure(
        model, fold, reason, type(error).__name__, "".join(traceback.format_exception(error))
    )


def report_fits(models, n_folds, on_failure):
    """One warning for each model and reason, one for each model that warned itself; an error if no
    model is left, or under "raise" for the first failure.

    Parameters
    ----------
    models : BaseModels
    n_folds : int
    on_failure : {"warn", "raise"}
    """
    failures = models.failures
    broken = [failure for failure in failures if failure.error_type != NOT_STARTED]
    if broken and on_failure == "raise":
        raise BaseModelError(f"{broken[0]} (on_failure='raise')")
    if all(estimator is None for estimator in models.estimators):
        raise _no_model_left("each failed in every fold or in the final fit", failures)
    for (model, reason), places in _by_reason(failures).items():
        lost = models.estimators[models.names.index(model)] is None
        what = (
            "The model is lost: its predictions are missing (NaN) throughout, for new rows too"
            if lost
            else "These predictions are missing (NaN)"
        )
        warn_user(
            f"Base model {model!r}, {', '.join(places)} (of {n_folds} folds): {_ended(reason)} "
            f"{what}; failures_ has the traceback of each failure.",
            BaseModelWarning,
        )
    for model in models.names:
        own = [warned for warned in models.warnings if warned.model == model]
        if own:
            warn_user(_told_once(model, own, n_folds), BaseModelWarning)


def _told_once(model, warned, n_folds):
    """A model's own warnings in one line: where, and the first of each category."""
    folds = sorted({fit.fold for fit in warned}, key=lambda fold: (fold is None, fold))
    first = {fit.category: fit.message for fit in reversed(warned)}
    texts = [
        f"{category}: {textwrap.shorten(message, LONGEST, placeholder=' ...')}"
        for category, message in sorted(first.items())
    ]
    return (
        f"Base model {model!r} warned in {', '.join(map(where, folds))} (of {n_folds} folds): "
        f"{_ended('; '.join(texts))} warnings_ has each in full."
    )


def report_predictions(failures, abstentions, n_models, on_failure):
    """The same for new rows: an error if every model failed. Rows that models gave no prediction
    for are missing cells, be they all of the rows: what one row gets does not depend on others.

    Parameters
    ----------
    failures : list of FitFailure
    abstentions : list of (str, int, int)
        Model, rows without a finite prediction, rows.
    n_models : int
        Models that were asked.
    on_failure : {"warn", "raise"}
    """
    if failures and len(failures) == n_models and on_failure == "warn":
        raise _no_model_left("each failed to predict the new rows", failures)
    for failure in failures:
        message = (
            f"Base model {failure.model!r} failed to predict new rows: {_ended(failure.reason)} "
        )
        if on_failure == "raise":
            raise BaseModelError(message + f"on_failure='raise'\n{failure.traceback}")
        warn_user(message + "These predictions are missing (NaN).", BaseModelWarning)
    for model, n_lost, n_rows in abstentions:
        message = (
            f"Base model {model!r} gave NaN or infinite predictions for {n_lost} of {n_rows} new "
            "rows. "
        )
        if on_failure == "raise":
            raise BaseModelError(message + "on_failure='raise'")
        warn_user(message + "These cells are missing (NaN).", BaseModelWarning)


def _ended(text):
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _no_model_left(what, failures):
    """The exception for a fit without any usable model: TypeError if every reason was one, as for a
    wrong kind of X.
    """
    kind = (
        TypeError if {failure.error_type for failure in failures} == {"TypeError"} else ValueError
    )
    return kind(f"No base model is left: {what}.\n{summary(failures)}")


def summary(failures):
    """A line for each model and reason."""
    by_reason = _by_reason(failures).items()
    return "\n".join(
        f"  {model!r}, {', '.join(places)}: {reason}" for (model, reason), places in by_reason
    )


def _by_reason(failures: Iterable[FitFailure]) -> dict[tuple[str, str], list[str]]:
    places: dict[tuple[str, str], list[str]] = {}
    for failure in failures:
        places.setdefault((failure.model, failure.reason), []).append(where(failure.fold))
    return places
