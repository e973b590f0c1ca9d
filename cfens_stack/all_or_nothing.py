"""Fits that leave an estimator as it was if they are refused or interrupted."""

from contextlib import contextmanager


@contextmanager
def all_or_nothing(estimator):
    """Restore the attributes of an estimator if the body raises, or is interrupted."""
    before = estimator.__dict__.copy()
    try:
        yield
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise
