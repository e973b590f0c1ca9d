"""Named estimators as a parameter: names, checks, and nested `get_params` and `set_params`."""

from collections import Counter

from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor


class NamedEstimatorsMixin(BaseEstimator):
    """`name` and `name__parameter` are parameters of what holds (name, estimator) pairs, or a dict,
    in `estimators`.
    """

    def get_params(self, deep=True):
        """Parameters, with `deep` also the named estimators and theirs."""
        params = super().get_params(deep=deep)
        if deep:
            for name, estimator in as_pairs(self.estimators):
                params[name] = estimator
                if hasattr(estimator, "get_params"):
                    params |= {
                        f"{name}__{key}": value
                        for key, value in estimator.get_params(deep=True).items()
                    }
        return params

    def set_params(self, **params):
        """Set parameters; `name=estimator` replaces a base model, `name="drop"` leaves it out."""
        if "estimators" in params:
            self.estimators = params.pop("estimators")
        pairs = as_pairs(self.estimators)
        replaced = {name: params.pop(name) for name, _ in pairs if name in params}
        if replaced:
            pairs = [(name, replaced.get(name, estimator)) for name, estimator in pairs]
            self.estimators = dict(pairs) if isinstance(self.estimators, dict) else pairs
        super().set_params(**params)
        return self


def as_pairs(estimators):
    """The estimators if they are (name, estimator) pairs or a dict, else no pairs: the parameter
    may be unchecked yet.
    """
    if isinstance(estimators, dict):
        estimators = list(estimators.items())
    if isinstance(estimators, list | tuple) and all(
        isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)
        for pair in estimators
    ):
        return list(estimators)
    return []


def named(estimators, reserved):
    """(name, estimator) pairs of a dict, a list of pairs or of bare estimators, without the dropped ones.

    Bare estimators are called after their class in lower case, numbered where a class occurs twice.

    Raises
    ------
    TypeError
        If an entry is a class or has no `fit` or nothing to predict with.
    ValueError
        If there is no estimator, or a name is taken twice, contains "__" or is one of the reserved
        names.
    """
    pairs = as_pairs(estimators) or _named_after_class(list(estimators))
    names = [name for name, _ in pairs]
    for name, count in Counter(names).items():
        if count > 1 or "__" in name or name in reserved:
            raise ValueError(
                f"estimators: the name {name!r} is taken twice, contains '__', or is a parameter "
                f"of the pipeline. Got names={names}; give each base model a name of its own."
            )
    pairs = [(name, estimator) for name, estimator in pairs if not _is_dropped(estimator)]
    for name, estimator in pairs:
        predicts = any(
            hasattr(estimator, method)
            for method in ("predict_proba", "decision_function", "predict")
        )
        if isinstance(estimator, type) or not hasattr(estimator, "fit") or not predicts:
            raise TypeError(
                f"estimators: {name!r} is {estimator!r}, but a base model is an instance (not a "
                "class) with fit and one of predict_proba, decision_function and predict."
            )
    if not pairs:
        raise ValueError(
            f"Got estimators={estimators!r}, which has no base model: pass a list of (name, "
            "estimator) or a dict."
        )
    return pairs


def refuse_frozen(pairs):
    """ValueError for a base model with a frozen classifier or regressor in it; frozen transformers
    pass.

    No fold would fit it anew, and what it says of rows that it has learnt from would pass for out
    of fold.
    """
    for name, model in pairs:
        parts = [model, *model.get_params(deep=True).values()]
        if any(_is_frozen(part) and (is_classifier(part) or is_regressor(part)) for part in parts):
            raise ValueError(
                f"estimators: {name!r} is, or holds, a frozen model, which no fold fits anew: its "
                "predictions would not be out of fold. Pass the model itself; or pass all base "
                "models fitted, cv='prefit', and rows that none of them has seen."
            )


def _is_frozen(part):
    if isinstance(part, type) or not hasattr(part, "__sklearn_clone__"):
        return False
    own = type(part).__sklearn_clone__ is not BaseEstimator.__sklearn_clone__
    return own and clone(part) is part


def _named_after_class(estimators):
    names = [type(estimator).__name__.lower() for estimator in estimators]
    counts = Counter(names)
    seen: Counter[str] = Counter()
    pairs = []
    for name, estimator in zip(names, estimators, strict=True):
        seen[name] += 1
        pairs.append((f"{name}-{seen[name]}" if counts[name] > 1 else name, estimator))
    return pairs


def _is_dropped(estimator):
    return isinstance(estimator, str) and estimator == "drop"
