"""AutoGluon: an ensemble in the folder of its predictor."""

import pickle
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

FILE = "cfens_ensemble.pkl"
ROWS = ("R_", "y_", "sample_weight_")  # of the fit, which a copy that only predicts does without


class FilesMixin:
    """Of a `PredictorEnsemble`: saved, loaded, deployed."""

    predictor: Any
    models_: list
    check_fitted: Callable

    def save(self):
        """Write the ensemble into the predictor's folder, for `load`; whole or not at all."""
        self.check_fitted()
        state = {name: value for name, value in vars(self).items() if name != "predictor"}
        file = Path(self.predictor.path) / FILE
        part = file.with_suffix(".part")
        part.write_bytes(pickle.dumps(state))
        part.replace(file)

    @classmethod
    def load(cls, path):
        """What `save` has written, with the predictor in that folder.

        Parameters
        ----------
        path : str or path-like
            Folder of the predictor. It holds pickles, AutoGluon's too: load only what you trust.

        Returns
        -------
        stack : PredictorEnsemble

        Raises
        ------
        FileNotFoundError
            If the folder holds no ensemble.
        """
        from autogluon.common.loaders import load_pkl
        from autogluon.tabular import TabularPredictor

        file = Path(path) / FILE
        if not file.is_file():
            raise FileNotFoundError(f"{path} holds no {FILE}: call save on the fitted ensemble.")
        stack = cls.__new__(cls)
        stack.predictor = TabularPredictor.load(str(path))
        vars(stack).update(load_pkl.load(path=str(file)))
        return stack

    def clone_for_deployment(self, path):
        """A copy that only predicts, with the predictor's models that take part and no other.

        Parameters
        ----------
        path : str or path-like
            A new folder: of a predictor without training data and out-of-fold predictions, with the
            ensemble in it. `PredictorEnsemble.load(path)` reads it.

        Returns
        -------
        stack : PredictorEnsemble
            Without `R_`, `y_` and `sample_weight_`.
        """
        self.check_fitted()
        predictor = self.predictor.clone(str(path), return_clone=True)
        predictor.delete_models(models_to_keep=self.models_, dry_run=False)
        predictor.save_space()
        stack = copy(self)
        stack.predictor = predictor
        for name in ROWS:
            vars(stack).pop(name, None)
        stack.save()
        return stack
