"""The method: from a prediction matrix to one calibrated probability."""

from cfens_stack.ensemble.als import CFEnsembleTrainer
from cfens_stack.ensemble.estimators import CFEnsemble
from cfens_stack.ensemble.partitions import fit_partitions
from cfens_stack.ensemble.pytorch import CFEnsemblePyTorchTrainer

__all__ = ["CFEnsemble", "CFEnsemblePyTorchTrainer", "CFEnsembleTrainer", "fit_partitions"]
