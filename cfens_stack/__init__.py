"""Stacking by collaborative filtering, for imbalanced classification and incomplete predictions."""

from cfens_stack.ensemble import CFEnsemble, CFEnsemblePyTorchTrainer, CFEnsembleTrainer
from cfens_stack.guide import Guidance, recommend
from cfens_stack.plugins.prediction_tables import read_predictions
from cfens_stack.search import CFEnsembleSearch
from cfens_stack.stacking import BaseModelError, BaseModelWarning, StackingPipeline, select_models

__version__ = "0.2.0.dev0"

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
    "read_predictions",
    "recommend",
    "select_models",
]
