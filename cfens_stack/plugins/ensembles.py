"""What the adapters fit: a clone of the ensemble that the user passed, with the layout that they
pass.
"""

from sklearn.base import clone

from cfens_stack.ensemble.estimators import CFEnsemble


def clone_for_adapter(ensemble, n_classes):
    """A clone of `ensemble`, or `CFEnsemble()` for None, with layout="auto" replaced by what
    adapters pass.

    With two classes that is one column per model, else K columns per model, model by model. A
    `CFEnsembleSearch` has the layout in its `estimator`; without one it reads the columns itself.
    """
    ensemble = CFEnsemble() if ensemble is None else clone(ensemble)
    layout = "positive" if n_classes == 2 else "model-major"
    parameters = ensemble.get_params()
    automatic = [name for name in ("layout", "estimator__layout") if parameters.get(name) == "auto"]
    return ensemble.set_params(**dict.fromkeys(automatic, layout))
