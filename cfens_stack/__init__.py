"""Stacking by collaborative filtering, for imbalanced classification and incomplete predictions."""

from cfens_stack.als import CFEnsembleTrainer
from cfens_stack.ensemble import CFEnsemble
from cfens_stack.failures import BaseModelError, BaseModelWarning
from cfens_stack.gradient import CFEnsemblePyTorchTrainer
from cfens_stack.guide import Guidance, recommend
from cfens_stack.pipeline import StackingPipeline
from cfens_stack.search import CFEnsembleSearch

__version__ = "0.1.0.dev0"

__all__ = [
    "BaseModelError",
    "BaseModelWarning",
    "CFEnsemble",
    "CFEnsemblePyTorchTrainer",
    "CFEnsembleSearch",
    "CFEnsembleTrainer",
    "Guidance",
    "StackingPipeline",
    "__version__",
    "recommend",
]
