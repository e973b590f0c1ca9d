"""What can be done to a fitted stack without fitting its base models again."""

from copy import copy
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from cfens_stack.stacking.base_models import BaseModels, column_names
from cfens_stack.stacking.fit_data import rows_key
from cfens_stack.stacking.fits import seeded
from cfens_stack.stacking.fitting import fit_base_models
from cfens_stack.stacking.leaderboard import model_weights
from cfens_stack.stacking.meta_learner import check_meta_classes, fit_meta, stated
from cfens_stack.stacking.metadata import metadata_for
from cfens_stack.stacking.named_estimators import refuse_frozen
from cfens_stack.stacking.tables import check_rows


class RefitMixin(BaseEstimator):
    """Fits of parts of a stack. Each works on a copy and takes its state over at the end: one that
    fails or is interrupted leaves the object as it was.
    """

    estimators: Any

    def refit_meta(self, meta):
        """Put another meta-learner on the out-of-fold predictions; no base model is fitted.

        Base models that `set_params(name="drop")` has dropped since the fit leave the object, with
        their columns. Other parameters of base models count from the next `fit` on.

        Parameters
        ----------
        meta : estimator or None
            Becomes the parameter `meta`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If `estimators` has a model that was not fitted, or the fit of the meta-learner fails.
        """
        self._kept_data()
        work = copy(self)
        work.meta = meta
        work._validate_params()
        check_meta_classes(work._new_meta(), work.classes_)
        work._take(work._models_left())
        work._fit_meta()
        return self._take_over(work)

    def add(self, name, estimator, X):
        """Fit one more base model on the folds and rows of the fit, then the meta-learner on all
        columns; no other base model is fitted.

        Parameters
        ----------
        name : str
        estimator : estimator
            Joins the parameter `estimators`. With cv="prefit" it is fitted already.
        X : array-like, sparse matrix or data frame of shape (n, p)
            The table of the fit, its rows in the same order; labels, weights and groups were kept.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If X is not the table of the fit, the name is taken, or the model fails in every fold or
            on all rows.
        """
        data = self._kept_data()
        work = copy(self)
        work._take(work._models_left())
        pairs = [*work._models(), (name, estimator)]
        work.estimators = dict(pairs) if isinstance(self.estimators, dict) else pairs
        if isinstance(self.estimators, dict) and len(pairs) > len(work.estimators):
            raise ValueError(f"name={name!r} is taken: give each base model a name of its own.")
        work._validate_params()
        added = [pair for pair in work._models() if pair[0] == name]
        if not added:
            raise ValueError(f"estimator={estimator!r} drops the model: pass one to be fitted.")
        if not self._is_prefit():
            refuse_frozen(added)
        X = check_rows(work, X, reset=False)
        if X.shape[0] != len(data.y) or rows_key(X) != data.rows:
            raise ValueError(
                f"X is not the table that the stack was fitted on, of {len(data.y)} rows, or its "
                "rows stand in another order: pass the same, or call fit."
            )
        work._take(work._taken().joined(work._fit_base(added, X)))
        work._fit_meta()
        return self._take_over(work)

    def for_serving(self):
        """A smaller copy that predicts, and no more: without the matrix of out-of-fold
        predictions, labels, weights, groups, folds and records of failures, and without base models
        that are lost or of weight 0.

        Where a model of weight 0 leaves, the meta-learner is fitted again on the columns left: for
        `CFEnsemble` such a column still has a small part in the reconstruction of the others, so
        probabilities may differ a little. Refits and `leaderboard` need the stack itself.

        Returns
        -------
        stack : StackingPipeline
        """
        self._kept_data()
        work = copy(self)
        weights, _ = model_weights(self.meta_, len(self.model_names_))
        used = [
            name
            for name, weight in zip(self.model_names_, weights, strict=True)
            if self.named_estimators_[name] is not None and weight != 0
        ]
        if used and len(used) < len(self.model_names_):
            work._keep(used)
            work._fit_meta()
        work.failures_, work.warnings_ = [], []
        del work.oof_, work._fit_data
        return work

    def _keep(self, names):
        """Keep some of the models, as parameters too."""
        pairs = [pair for pair in self._models() if pair[0] in names]
        self.estimators = dict(pairs) if isinstance(self.estimators, dict) else pairs
        self._take(self._taken().keep(names, self.classes_))

    def _kept_data(self):
        """What the fit kept of its data."""
        check_is_fitted(self, "meta_")
        if not hasattr(self, "_fit_data"):
            raise ValueError(
                "This stack was made by for_serving() and has no data of the fit: use the one that "
                "it was made from."
            )
        return self._fit_data

    def _take_over(self, work):
        """Become what a copy of this object has become."""
        self.__dict__ = vars(work)
        return self

    def _fit_base(self, models, X, choose=None):
        """Fit base models on the folds and rows of the fit: BaseModels; with `choose`, on all rows
        only those that it names.
        """
        metadata = self._fit_data.metadata
        return fit_base_models(
            models,
            X,
            self._fit_data,
            self.classes_,
            choose,
            prefit=self._is_prefit(),
            fit_params={} if self._is_prefit() else metadata_for(self, dict(models), metadata),
            seed=self._seed,
            settings={
                "n_jobs": self.n_jobs,
                "memory": self.memory,
                "on_failure": self.on_failure,
                "progress": self.progress,
                "time_limit": self.time_limit,
            },
        )

    def _meta_with_params(self):
        """The meta-learner to be fitted, and what its `fit` gets besides R and y."""
        meta = self._new_meta()
        params = metadata_for(self, {"meta": meta}, self._fit_data.metadata)["meta"]
        meta = seeded(meta, self._seed, "meta", None)
        return stated(meta, self.classes_), params

    def _fit_meta(self):
        meta, params = self._meta_with_params()
        self.meta_ = fit_meta(
            meta,
            self.oof_,
            self._fit_data.y,
            self.classes_,
            params,
            self.failures_,
            column_names(self.model_names_, self.classes_),
        )

    def _take(self, models):
        """Make what the fits left behind the learned attributes."""
        self.model_names_, self.oof_ = models.names, models.oof
        self.estimators_, self.calibrators_ = models.estimators, models.calibrators
        self.named_estimators_ = Bunch(**dict(zip(models.names, models.estimators, strict=True)))
        self.failures_, self.warnings_ = models.failures, models.warnings
        self.fit_times_, self.predict_times_ = models.fit_times, models.predict_times

    def _taken(self):
        """The learned attributes of the base models in one."""
        return BaseModels(
            self.model_names_,
            self.estimators_,
            self.calibrators_,
            self.failures_,
            self.warnings_,
            self.fit_times_,
            self.predict_times_,
            self.oof_,
        )

    def _models_left(self):
        """The fitted base models without those that have been dropped since."""
        names = [name for name, _ in self._models() if name not in self._left_out]
        unknown = [name for name in names if name not in self.model_names_]
        if unknown:
            raise ValueError(
                f"estimators has {', '.join(map(repr, unknown))}, which the fit did not have: call "
                "fit for base models to be fitted."
            )
        return self._taken().keep(names, self.classes_)
