"""The method: from a prediction matrix to one calibrated probability."""

from cfens_stack.ensemble.estimators import CFEnsemble, CFEnsemblePyTorchTrainer, CFEnsembleTrainer
from cfens_stack.ensemble.partitions import fit_partitions

__all__ = ["CFEnsemble", "CFEnsemblePyTorchTrainer", "CFEnsembleTrainer", "fit_partitions"]
