"""From base models to the prediction matrix, and a meta-learner on it."""

from cfens_stack.stacking.default_pool import default_estimators
from cfens_stack.stacking.failures import BaseModelError, BaseModelWarning
from cfens_stack.stacking.pipeline import StackingPipeline

__all__ = ["BaseModelError", "BaseModelWarning", "StackingPipeline", "default_estimators"]
