"""Hyperparameters by Optuna, along the decision guide."""

from cfens_stack.search.estimator import CFEnsembleSearch
from cfens_stack.search.pruning import FoldPruner
from cfens_stack.search.scorers import NegativeCost, RecallAtPrecision
from cfens_stack.search.space import SEARCH_SPACE, Param

__all__ = [
    "SEARCH_SPACE",
    "CFEnsembleSearch",
    "FoldPruner",
    "NegativeCost",
    "Param",
    "RecallAtPrecision",
]
