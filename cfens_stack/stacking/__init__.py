"""From base models to the prediction matrix, and a meta-learner on it."""

from cfens_stack.stacking.default_pool import default_estimators
from cfens_stack.stacking.failures import BaseModelError, BaseModelWarning
from cfens_stack.stacking.pipeline import StackingPipeline
from cfens_stack.stacking.score_models import score_models
from cfens_stack.stacking.selection import Subset, select_models

__all__ = [
    "BaseModelError",
    "BaseModelWarning",
    "StackingPipeline",
    "Subset",
    "default_estimators",
    "score_models",
    "select_models",
]
