"""A stack of as few base models as the answer needs, chosen in the fit or after it."""

from copy import copy
from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator

from cfens_stack.stacking.selection import choose, subset_path


class SelectMixin(BaseEstimator):
    """Base models that are left out, so that fewer have to be fitted and asked."""

    def select(self, max_models=None, max_predict_time=None, tolerance="1se"):
        """Keep as few base models as the answer needs; the others leave the object, and the
        meta-learner is fitted on the columns left. No base model is fitted.

        Subsets come from `select_models`, by backward elimination; each is judged by the log loss
        of the meta-learner on rows of `oof_` that it was not fitted on.

        Parameters
        ----------
        max_models : int, default=None
            Models to keep at most.
        max_predict_time : float, default=None
            Seconds that their `predict_times_` may add up to, as measured on the rows of the fit.
            Models then leave by what they matter for their time.
        tolerance : "1se" or float, default="1se"
            The smallest subset is kept whose log loss is above that of the best within the limits
            by no more than this; "1se": one standard error of the difference. 0: the best.

        Returns
        -------
        self : object
            With `selection_path_`, a list of `Subset` by name of the models.

        Raises
        ------
        ValueError
            If no subset keeps to the limits.
        """
        self._kept_data()
        work = copy(self)
        work._take(work._models_left())
        fitted = work._taken()
        names, work.selection_path_ = work._chosen(fitted, max_models, max_predict_time, tolerance)
        work._keep(names)
        work._fit_meta()
        return self._take_over(work)

    def _is_limited(self):
        return self.max_models is not None or self.max_predict_time is not None

    def _fit_within_limits(self, models, X):
        """Fit base models on the folds, and on all rows those alone that the limits leave."""

        def choose_names(fitted):
            names, self.selection_path_ = self._chosen(
                fitted, self.max_models, self.max_predict_time, "1se"
            )
            return names

        fitted = self._fit_base(models, X, choose_names)
        self._left_out = [name for name, _ in models if name not in fitted.names]
        return fitted

    def _chosen(self, fitted, max_models, max_predict_time, tolerance):
        """Names of the models to keep, and the path of subsets by name."""
        data, meta_and_params = self._fit_data, self._meta_with_params()
        sound = [
            name
            for name, model in zip(fitted.names, fitted.estimators, strict=True)
            if model is not None
        ]
        seconds = np.array([fitted.predict_times[name] for name in sound])
        path = subset_path(
            meta_and_params[0],
            fitted.keep(sound, self.classes_).oof,
            data.y,
            self.classes_,
            meta_and_params[1],
            data.metadata["groups"],
            np.ones(len(sound)) if max_predict_time is None else np.maximum(seconds, 1e-9),
            data.metadata["sample_weight"],
        )
        chosen = choose(path, max_models=max_models, max_cost=max_predict_time, tolerance=tolerance)
        named = [replace(subset, models=tuple(sound[u] for u in subset.models)) for subset in path]
        return [sound[u] for u in chosen.models], named
