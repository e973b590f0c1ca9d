"""Stacking by collaborative filtering, for imbalanced classification and incomplete predictions."""

from cfens_stack.als import CFEnsembleTrainer
from cfens_stack.ensemble import CFEnsemble

__version__ = "0.1.0.dev0"

__all__ = ["CFEnsemble", "CFEnsembleTrainer", "__version__"]
