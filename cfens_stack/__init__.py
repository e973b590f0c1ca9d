"""Stacking by collaborative filtering, for imbalanced classification and incomplete predictions."""

__version__ = "0.1.0.dev0"

__all__ = ["__version__"]
