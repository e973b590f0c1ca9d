"""Pictures of fitted ensembles in scikit-learn's Display style: data first, matplotlib only in
`plot`.

Shades of grey, markers and line styles carry the meaning, so every picture can be printed and read
without colours.
"""

from cfens_stack.display.contributions import ContributionsDisplay
from cfens_stack.display.convergence import ConvergenceDisplay
from cfens_stack.display.disagreement import DisagreementDisplay
from cfens_stack.display.latent_space import LatentSpaceDisplay
from cfens_stack.display.pareto import ParetoDisplay
from cfens_stack.display.reconstruction import ReconstructionDisplay
from cfens_stack.display.reliability import ReliabilityDisplay
from cfens_stack.display.selection_path import SelectionPathDisplay
from cfens_stack.display.trust import TrustDisplay

__all__ = [
    "ContributionsDisplay",
    "ConvergenceDisplay",
    "DisagreementDisplay",
    "LatentSpaceDisplay",
    "ParetoDisplay",
    "ReconstructionDisplay",
    "ReliabilityDisplay",
    "SelectionPathDisplay",
    "TrustDisplay",
]
