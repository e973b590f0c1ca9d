"""StackingPipeline: out-of-fold predictions of base models, a meta-learner on them, and both
together for new rows.
"""

import os
from copy import copy
from numbers import Integral, Real

import joblib
from sklearn.base import MetaEstimatorMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from cfens_stack.html import FittedSummaryMixin
from cfens_stack.row_order import warn_of_another_order
from cfens_stack.splits import make_splits
from cfens_stack.stacking.fit_data import FitData
from cfens_stack.stacking.frames import FramesMixin
from cfens_stack.stacking.importance import ImportanceMixin
from cfens_stack.stacking.leaderboard import LeaderboardMixin
from cfens_stack.stacking.meta_learner import check_meta_classes
from cfens_stack.stacking.metadata import split_metadata
from cfens_stack.stacking.named_estimators import refuse_frozen
from cfens_stack.stacking.parameters import StackParametersMixin, explain_foreign_names
from cfens_stack.stacking.predictions import PredictionMixin
from cfens_stack.stacking.refits import RefitMixin
from cfens_stack.stacking.selecting import SelectMixin
from cfens_stack.stacking.summary import pipeline_summary
from cfens_stack.stacking.tables import check_rows
from cfens_stack.validation import check_groups, check_weights, encode_labels


class StackingPipeline(
    FittedSummaryMixin,
    StackParametersMixin,
    MetaEstimatorMixin,
    PredictionMixin,
    RefitMixin,
    SelectMixin,
    LeaderboardMixin,
    ImportanceMixin,
    FramesMixin,
):
    """Base models, their out-of-fold predictions, and a meta-learner that combines them.

    Each base model is fitted once per fold and once on all rows. Its predictions for the rows that a
    fold holds out form its column of the matrix `oof_`, on which the meta-learner is fitted; the
    models fitted on all rows predict new rows. What a model could not predict is a missing cell,
    not the end of the fit.

    Parameters
    ----------
    estimators : list of (str, estimator), dict, list of estimators, or None, default=None
        Base models; an estimator "drop" is left out. They are fitted on class codes 0 to K - 1, in
        the order of `classes_`. None: ten models of different kinds, for tables with numeric,
        boolean, categorical, string and date columns and missing values.
    meta : estimator, default=None
        Classifier on the prediction matrix and the class codes. None: `CFEnsemble()`. It has to
        accept NaN if cells are missing. Rows without any out-of-fold prediction are not shown to
        it.
    cv : int, splitter, iterable of (train, test) or "prefit", default=5
        An int: shuffled stratified folds, which keep groups together if `groups` are passed. A
        warning says so if a class has fewer rows than there are folds.
        Splitters need not form a partition: predictions of a row that is held out several times are
        averaged, a row that never is has none. "prefit": `estimators` are fitted already and stay
        as they are; X must be rows that none of them has seen, and all their predictions of it
        count as out of fold.
    n_jobs : int, default=None
        Fits that run at once; None: 1, or what `joblib.parallel_config` says. When several do, the
        threads of each fit (`n_jobs` of the models, BLAS, OpenMP) are held at its share of the
        cores.
    on_failure : {"warn", "raise"}, default="warn"
        "warn": predictions of a base model that raises, exits, crashes its worker process or
        returns wrong shapes, probabilities that do not sum to 1, NaN or infinite values are
        missing, with a `BaseModelWarning` and an entry in `failures_`. "raise": the first one ends
        the fit with a `BaseModelError`. With n_jobs=1 there is no worker: a model that kills its
        process ends the run, which a cache (`memory`) lets go on.
    memory : str, path or joblib.Memory, default=None
        Cache for the fits; each is stored as it ends, so a run that was killed goes on where it
        was. It holds pickles: use a folder that only people you trust can write to. With
        `random_state=None` the seed is then derived from the data, so that the second run finds the
        fits of the first. The key holds the data, the parameters, the version of the package that
        a model comes from, and the code of models of your own: see "What the cache sees" in the
        documentation of the pipeline.
    time_limit : float, default=None
        Seconds for the fits of the base models; none starts after that. Models are tried on one
        fold each for a quarter of the time, then completed from the fastest on. What is not fitted
        is missing, and listed in `failures_`. Fits that are stored in `memory` take no time. A fit
        that runs is not interrupted.
    max_models : int, default=None
        Base models to keep at most, chosen by their predictions on the folds as by `select`; the
        others are not fitted on all rows and leave the object. The smallest subset within one
        standard error of the best is kept.
    max_predict_time : float, default=None
        The same for the seconds of the `predict_times_` of those that are kept.
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
        Out-of-fold probabilities of `classes_[1]`, one column per model; for K > 2 the K columns of the
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
    warnings_ : list of FitWarning
        What base models warned of in their fits: records with `model`, `fold`, `category` and
        `message`. The fit itself warns once per model.
    fit_times_, predict_times_ : dict of str to float
        Seconds of each model's fits, on the folds and on all rows, and of the predictions of the
        rows held out. Of fits that came from the cache, those of the run that computed them.
    selection_path_ : list of Subset
        If models were chosen, by `max_models`, `max_predict_time` or `select`: the subsets that
        were compared.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (p,)
        If X was a data frame with string column names.

    Notes
    -----
    Raw scores (`decision_function`, a regressor's `predict`, hard labels) become probabilities by
    logistic regression on out-of-fold scores. For a fold's own cells it is learnt from the labels
    and scores of rows that the fold trains on, so that no label is a target of the map that its own
    cell passes through; where these have no out-of-fold score yet (the first fold of a time series)
    cells are missing. The scores of the other folds come from models that have seen the label,
    though, and so it moves its own cell a little, by less the more rows there are. Cells of models
    with `predict_proba` do not depend on their own label at all.

    A class that a fold does not train on leaves that class's cells missing, with two classes all of
    that fold's.

    A fit or refit that fails or is interrupted leaves the object as it was.

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
        "estimators": [list, tuple, dict, None],
        "meta": [HasMethods(["fit", "predict"]), None],
        "cv": ["cv_object", StrOptions({"prefit"})],
        "n_jobs": [Integral, None],
        "on_failure": [StrOptions({"warn", "raise"})],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "max_models": [Interval(Integral, 1, None, closed="left"), None],
        "max_predict_time": [Interval(Real, 0, None, closed="neither"), None],
        "progress": ["boolean"],
        "random_state": ["random_state"],
    }

    @explain_foreign_names
    def __init__(
        self,
        estimators=None,
        *,
        meta=None,
        cv=5,
        n_jobs=None,
        on_failure="warn",
        memory=None,
        time_limit=None,
        max_models=None,
        max_predict_time=None,
        progress=False,
        random_state=None,
    ):
        self.estimators = estimators
        self.meta = meta
        self.cv = cv
        self.n_jobs = n_jobs
        self.on_failure = on_failure
        self.memory = memory
        self.time_limit = time_limit
        self.max_models = max_models
        self.max_predict_time = max_predict_time
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
            If X, y, weights or folds are not usable, every class has fewer rows than there are
            folds or one of two has a single row, or no base model is left (TypeError if a TypeError
            was every model's reason). The message then holds the reasons.
        BaseModelError
            If a base model fails and on_failure="raise".
        """
        work = copy(self)
        for learned in [name for name in vars(self) if name.endswith("_")]:
            delattr(work, learned)
        work._fit(X, y, sample_weight, groups)
        return self._take_over(work)

    def _fit(self, X, y, sample_weight, groups):
        self._validate_params()
        models = self._models()
        if not self._is_prefit():
            refuse_frozen(models)
        warn_of_another_order("X", X, y=y, sample_weight=sample_weight, groups=groups)
        X = check_rows(self, X, reset=True)
        self.classes_, y = encode_labels(y)
        groups = check_groups(groups, X)
        check_consistent_length(X, y)
        check_meta_classes(self._new_meta(), self.classes_)
        weights = check_weights(sample_weight, X, y, self.classes_)
        metadata = {"sample_weight": weights, "groups": groups}
        key = None if self.memory is None else joblib.hash((X, y))
        self._seed = self._root_seed(key)
        splits = make_splits(
            5 if self._is_prefit() else self.cv,
            X,
            y,
            split_metadata(self, metadata),
            classes=self.classes_,
            seed=self._seed,
            rare="pass" if self._is_prefit() else "warn",
        )
        self._fit_data = FitData.of(X, y, metadata, splits, key)
        self._left_out = []
        limited = self._is_limited()
        self._take(self._fit_within_limits(models, X) if limited else self._fit_base(models, X))
        self._fit_meta()

    def _fit_summary(self):
        return pipeline_summary(self, getattr(self, "_fit_data", None))

    def _root_seed(self, key):
        """With a cache and no seed: from the data, so that the next run asks for the same fits."""
        if self.random_state is None and key is not None:
            return int(key[:8], 16) % (2**31 - 1)
        return int(check_random_state(self.random_state).randint(2**31 - 1))
