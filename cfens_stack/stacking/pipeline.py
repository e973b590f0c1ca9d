"""StackingPipeline: out-of-fold predictions of base models, a meta-learner on them, and both
together for new rows.
"""

import os
from numbers import Integral

import joblib
import numpy as np
from sklearn.base import ClassifierMixin, MetaEstimatorMixin
from sklearn.ensemble import StackingClassifier
from sklearn.utils import Bunch, check_consistent_length, check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, check_memory

from cfens_stack.ensemble.estimators import CFEnsemble
from cfens_stack.html import FittedSummaryMixin
from cfens_stack.splits import make_splits
from cfens_stack.stacking.base_predictions import as_probabilities, predict_scores
from cfens_stack.stacking.default_pool import default_estimators
from cfens_stack.stacking.failures import failure_of, report_fits, report_predictions
from cfens_stack.stacking.fits import FitTask, run_fits, seeded
from cfens_stack.stacking.meta_learner import check_meta_classes, fit_meta
from cfens_stack.stacking.metadata import metadata_for, request_weights, split_metadata
from cfens_stack.stacking.named_estimators import NamedEstimatorsMixin, named
from cfens_stack.stacking.out_of_fold import fill_matrix, model_columns, n_columns
from cfens_stack.stacking.summary import pipeline_summary
from cfens_stack.stacking.tables import check_rows
from cfens_stack.validation import UNLABELLED, check_groups, check_weights, encode_labels


class StackingPipeline(
    FittedSummaryMixin, ClassifierMixin, MetaEstimatorMixin, NamedEstimatorsMixin
):
    """Base models, their out-of-fold predictions, and a meta-learner that combines them.

    Each base model is fitted once a fold and once on all rows. Its predictions for the rows that a
    fold holds out form its column of the matrix `oof_`, on which the meta-learner is fitted; the
    models fitted on all rows predict new rows. What a model could not predict is a missing cell,
    not the end of the fit.

    Parameters
    ----------
    estimators : list of (str, estimator), list of estimators, or None, default=None
        Base models; an estimator "drop" is left out. They are fitted on class codes 0 to K - 1, in
        the order of `classes_`. None: ten models of different kinds, for tables with numeric,
        boolean, categorical, string and date columns and missing values.
    meta : estimator, default=None
        Classifier on the prediction matrix and the class codes. None: `CFEnsemble()`. It has to
        accept NaN if cells are missing. Rows without any out-of-fold prediction are not shown to
        it.
    cv : int, splitter or iterable of (train, test), default=5
        An int: shuffled stratified folds, which keep groups together if `groups` are passed.
        Splitters need not form a partition: predictions of a row that is held out several times are
        averaged, a row that never is has none.
    n_jobs : int, default=None
        Fits that run at once; None: 1, or what `joblib.parallel_config` says. When several do, the
        threads of each fit (`n_jobs` of the models, BLAS, OpenMP) are held at its share of the
        cores.
    on_failure : {"warn", "raise"}, default="warn"
        "warn": predictions of a base model that raises, exits, crashes its worker process or
        returns wrong shapes, probabilities that do not sum to 1, NaN or infinite values are
        missing, with a `BaseModelWarning` and an entry in `failures_`. "raise": the first one ends
        the fit with a `BaseModelError`. With n_jobs=1 there is no worker: a model that kills its
        process ends the run, which a cache (`memory`) lets go on. Nor is there a time limit.
    memory : str, path or joblib.Memory, default=None
        Cache for the fits; each is stored as it ends, so a run that was killed goes on where it
        was. It holds pickles: use a folder that only people you trust can write to. With
        `random_state=None` the seed is then derived from the data, so that the second run finds the
        fits of the first.
    progress : bool, default=False
        Show a tqdm bar over the fits.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds if `cv` is an int, and of every `random_state` of base and meta models
        that is None. The seed of a fit depends on the name of the model and the fold, not on
        `n_jobs` or on the other models.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    oof_ : ndarray of shape (n, m) or (n, m * K)
        Out-of-fold probabilities of `classes_[1]`, a column a model; for K > 2 the K columns of the
        first model, then those of the second. NaN where missing. `get_feature_names_out` names the
        columns.
    model_names_ : list of str, length m
    estimators_ : list of length m
        The models fitted on all rows; None for one that is lost because it failed there or in every
        fold. Its cells are missing in `oof_` and in prediction.
    named_estimators_ : Bunch
        The same by name.
    calibrators_ : dict of str to LogisticRegression
        For each model without `predict_proba`, the map from its scores to probabilities, learnt on
        out-of-fold scores.
    meta_ : estimator
        Fitted meta-learner.
    failures_ : list of FitFailure
        Records with `model`, `fold` (None: the fit on all rows), `reason`, `error_type` and
        `traceback`.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (p,)
        If X was a data frame with string column names.

    Notes
    -----
    Scores (`decision_function`, a regressor's `predict`, hard labels) become probabilities by
    logistic regression on out-of-fold scores. For a fold's own cells it is learnt from rows that
    the fold trains on, so no label meets its own cell; where these have no out-of-fold score yet
    (the first fold of a time series) cells are missing.

    A class that a fold does not train on leaves that class's cells missing, with two classes all of
    that fold's.

    sample_weight goes to the models whose `fit` takes it, through pipelines and searches too, and
    to the meta-learner; a warning names those that do not. With scikit-learn's metadata routing
    enabled, requests decide, for `groups` too.

    The labels, weights and groups of the fit are kept for `refit_meta`.

    See Also
    --------
    CFEnsemble : The default meta-learner.

    References
    ----------
    D. H. Wolpert (1992), "Stacked generalization". L. Breiman (1996), "Stacked regressions".

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.svm import LinearSVC
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from cfens_stack import StackingPipeline
    >>> X, y = make_classification(400, weights=[0.8], random_state=0)
    >>> models = [("bayes", GaussianNB()), ("svm", LinearSVC()), ("tree", DecisionTreeClassifier(max_depth=3))]
    >>> stack = StackingPipeline(models, random_state=0).fit(X[:300], y[:300])
    >>> stack.oof_.shape, stack.model_names_
    ((300, 3), ['bayes', 'svm', 'tree'])
    >>> stack.predict_proba(X[300:]).shape
    (100, 2)
    """

    _parameter_constraints: dict = {
        "estimators": [list, tuple, None],
        "meta": [HasMethods(["fit", "predict"]), None],
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
        "on_failure": [StrOptions({"warn", "raise"})],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
        "progress": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimators=None,
        *,
        meta=None,
        cv=5,
        n_jobs=None,
        on_failure="warn",
        memory=None,
        progress=False,
        random_state=None,
    ):
        self.estimators = estimators
        self.meta = meta
        self.cv = cv
        self.n_jobs = n_jobs
        self.on_failure = on_failure
        self.memory = memory
        self.progress = progress
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the base models on every fold and on all rows, then the meta-learner on the
        out-of-fold predictions.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n, p)
            Data frames (pandas, polars) reach the models as they are.
        y : array-like of shape (n,)
            Class labels. NaN, None and pandas.NA mark rows without one, if the meta-learner takes
            such rows, as `CFEnsemble` does: base models learn from the labelled rows and predict
            the others.
        sample_weight : array-like of shape (n,), default=None
        groups : array-like of shape (n,), default=None
            Rows of a group are not split between the sides of a fold, if `cv` is an int or a
            splitter that uses them.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If X, y, weights or folds are not usable, a class has fewer rows than there are folds,
            or no base model is left (TypeError if a TypeError was every model's reason). The
            message then holds the reasons.
        BaseModelError
            If a base model fails and on_failure="raise".
        """
        self._validate_params()
        models = self._models()
        X = check_rows(self, X, reset=True)
        self.classes_, y = encode_labels(y)
        groups = check_groups(groups, X)
        check_consistent_length(X, y)
        check_meta_classes(self._new_meta(), self.classes_)
        weights = check_weights(sample_weight, X, y, self.classes_)
        metadata = {"sample_weight": weights, "groups": groups}
        self._fit_data = Bunch(y=y, metadata=metadata)
        memory = (
            self.memory if hasattr(self.memory, "cache") else self.memory and os.fspath(self.memory)
        )
        data_key = None if memory is None else joblib.hash((X, y))
        self._seed = self._root_seed(data_key)
        splits = make_splits(
            self.cv, X, y, split_metadata(self, metadata), classes=self.classes_, seed=self._seed
        )
        outcomes = run_fits(
            self._tasks(models, splits),
            X,
            y,
            memory=check_memory(memory),
            n_jobs=self.n_jobs,
            on_failure=self.on_failure,
            progress=self.progress,
            n_classes=len(self.classes_),
            data_key=data_key,
        )
        self.model_names_ = [name for name, _ in models]
        self.oof_ = np.empty((len(y), len(models) * n_columns(self.classes_)))
        self.estimators_, self.calibrators_, self.failures_ = fill_matrix(
            self.oof_, self.model_names_, outcomes, splits, y, weights, self.classes_
        )
        self.named_estimators_ = Bunch(
            **dict(zip(self.model_names_, self.estimators_, strict=True))
        )
        report_fits(self.failures_, self.estimators_, len(splits), self.on_failure)
        return self._fit_meta()

    def refit_meta(self, meta):
        """Put another meta-learner on the out-of-fold predictions; no base model is fitted.

        Parameters
        ----------
        meta : estimator or None
            Becomes the parameter `meta`.

        Returns
        -------
        self : object
        """
        check_is_fitted(self, "meta_")
        self.meta = meta
        self._validate_params()
        check_meta_classes(self._new_meta(), self.classes_)
        return self._fit_meta()

    def base_predictions(self, X):
        """Prediction matrix of new rows, the input of the meta-learner.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n, p)

        Returns
        -------
        R : ndarray of shape (n, m) or (n, m * K)
            Laid out like `oof_`. The columns of a lost model, or of one that fails here, are NaN.
        """
        check_is_fitted(self, "meta_")
        X = check_rows(self, X, reset=False)
        R = np.full((X.shape[0], self.oof_.shape[1]), np.nan)
        failures = []
        for name, block in model_columns(R, self.model_names_, self.classes_):
            model = self.named_estimators_[name]
            try:
                if model is not None:
                    scores = predict_scores(model, X, len(self.classes_))
                    block[:] = as_probabilities(
                        scores, self.calibrators_.get(name), len(self.classes_)
                    )
                    n_lost = int((~np.isfinite(block)).any(axis=1).sum())
                    if n_lost:
                        raise ValueError(
                            f"NaN or infinite predictions for {n_lost} of {len(block)} rows"
                        )
            except Exception as error:
                failures.append(failure_of(name, None, error))
        R[np.isinf(R)] = np.nan
        n_models = sum(model is not None for model in self.estimators_)
        report_predictions(failures, n_models, self.on_failure)
        return R

    def _meta_predicts_probabilities(self):
        meta = self.meta_ if hasattr(self, "meta_") else self._new_meta()
        return hasattr(meta, "predict_proba")

    @available_if(_meta_predicts_probabilities)
    def predict_proba(self, X):
        """Probabilities of the classes: ndarray of shape (n, K), columns in the order of
        `classes_`.
        """
        R = self.base_predictions(X)
        return self.meta_.predict_proba(R)

    def predict(self, X):
        """Class of each row: ndarray of shape (n,)."""
        R = self.base_predictions(X)
        return self.classes_[np.asarray(self.meta_.predict(R)).astype(int)]

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of `oof_`: the model's, followed by the class if there are more than
        two.
        """
        check_is_fitted(self, "meta_")
        if len(self.classes_) == 2:
            return np.array(self.model_names_, dtype=object)
        return np.array(
            [f"{name}_{label}" for name in self.model_names_ for label in self.classes_],
            dtype=object,
        )

    def get_metadata_routing(self):
        """Routing of sample_weight and groups to base models, meta-learner and splitter; see
        scikit-learn's guide.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        router.add(**dict(self._models()), meta=self._new_meta(), method_mapping=to_fit)
        return router.add(
            cv=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split")
        )

    def __sklearn_tags__(self):
        """What one base model copes with, the pipeline does, if its meta-learner takes the others'
        missing cells.
        """
        tags = super().__sklearn_tags__()
        try:
            inputs = [get_tags(model).input_tags for _, model in self._models()]
            meta = get_tags(self._new_meta())
        except (AttributeError, TypeError, ValueError):
            return tags  # a parameter is not valid; fit says so
        one_or_all = any if meta.input_tags.allow_nan else all
        for kind in ("allow_nan", "sparse", "string"):
            found = one_or_all(getattr(tag, kind) for tag in inputs)
            setattr(
                tags.input_tags, kind, found if self.estimators is not None else kind != "sparse"
            )
        tags.classifier_tags.multi_class = (
            meta.classifier_tags is None or meta.classifier_tags.multi_class
        )
        return tags

    def _sk_visual_block_(self):
        return StackingClassifier(
            self._models(), final_estimator=self._new_meta()
        )._sk_visual_block_()

    _fit_summary = pipeline_summary

    def _models(self):
        """Base models as (name, estimator); the default pool routes its weights itself."""
        if self.estimators is not None:
            return named(self.estimators, reserved=self.get_params(deep=False))
        return [(name, request_weights(model)) for name, model in default_estimators()]

    def _new_meta(self):
        if self.meta is not None:
            return self.meta
        return request_weights(CFEnsemble())

    def _root_seed(self, data_key):
        """With a cache and no seed: from the data, so that the next run asks for the same fits."""
        if self.random_state is None and data_key is not None:
            return int(data_key[:8], 16) % (2**31 - 1)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _tasks(self, models, splits):
        """One task a model and fold, and one a model for new rows, which also predicts the
        unlabelled ones.
        """
        y = self._fit_data.y
        fit_params = metadata_for(self, dict(models), self._fit_data.metadata)
        unlabelled = np.flatnonzero(y == UNLABELLED)
        final = (np.flatnonzero(y != UNLABELLED), unlabelled) if len(unlabelled) else (None, None)
        return [
            FitTask(
                name, fold, seeded(model, self._seed, name, fold), train, test, fit_params[name]
            )
            for name, model in models
            for fold, (train, test) in [*enumerate(splits), (None, final)]
        ]

    def _fit_meta(self):
        meta = self._new_meta()
        params = metadata_for(self, {"meta": meta}, self._fit_data.metadata)["meta"]
        meta = seeded(meta, self._seed, "meta", None)
        if (
            meta.get_params(deep=False).get("layout") == "auto"
        ):  # nothing needs to be read off the numbers here
            meta.set_params(layout="positive" if len(self.classes_) == 2 else "model-major")
        self.meta_ = fit_meta(
            meta, self.oof_, self._fit_data.y, self.classes_, params, self.failures_
        )
        return self
