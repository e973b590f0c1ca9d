"""Base models that fail: the record, the warning, the error."""

import traceback
import warnings
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field


class BaseModelWarning(UserWarning):
    """A base model did less than it was asked for: predictions are missing, or it took no
    weights.
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


def where(fold):
    """Words for a fold."""
    return "final fit" if fold is None else f"fold {fold}"


def failure_of(model, fold, error):
    """Record of an exception."""
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, BrokenProcessPool):
        reason = "the process that fitted it died (crash, out of memory, or killed from outside)"
    return FitFailure(
        model, fold, reason, type(error).__name__, "".join(traceback.format_exception(error))
    )


def report_fits(failures, estimators, n_folds, on_failure):
    """One warning a model and reason; an error if no model is left, or under "raise" for the first
    failure.
    """
    if failures and on_failure == "raise":
        raise BaseModelError(f"{failures[0]} (on_failure='raise')")
    if all(estimator is None for estimator in estimators):
        raise _no_model_left("each failed in every fold or in the final fit", failures)
    for (model, reason), places in _by_reason(failures).items():
        warnings.warn(
            f"Base model {model!r}, {', '.join(places)} (of {n_folds} folds): {reason}. "
            "These predictions are missing (NaN); failures_ has the traceback of each failure.",
            BaseModelWarning,
            stacklevel=4,
        )


def report_predictions(failures, n_models, on_failure):
    """The same for models that fail on new rows."""
    if failures and len(failures) == n_models and on_failure == "warn":
        raise _no_model_left("each failed to predict the new rows", failures)
    for failure in failures:
        message = f"Base model {failure.model!r} failed to predict new rows: {failure.reason}. "
        if on_failure == "raise":
            raise BaseModelError(message + f"on_failure='raise'\n{failure.traceback}")
        warnings.warn(
            message + "These predictions are missing (NaN).", BaseModelWarning, stacklevel=4
        )


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


def _by_reason(failures):
    places: dict[tuple[str, str], list[str]] = {}
    for failure in failures:
        places.setdefault((failure.model, failure.reason), []).append(where(failure.fold))
    return places
