"""The estimators: CFEnsemble with a choice of trainer, and each trainer under its own name."""

from cfens_stack.ensemble.als import train_als
from cfens_stack.ensemble.base import BaseCFEnsemble
from cfens_stack.ensemble.pytorch import train_pytorch


class CFEnsemble(BaseCFEnsemble):
    """Stacking meta-learner that factorises the predictions of the base models and aggregates the
    reconstruction.

    The out-of-fold predictions R (n rows, m base models) are treated as a collaborative-filtering
    problem: models are the users, rows the items, predicted probabilities the ratings. The
    factorisation fills what is missing and pools what the models have in common; a weighted
    log-odds pool, shrunk to the average of the calibrated models, turns it into one calibrated
    probability.

    Parameters
    ----------
    trainer : {"als", "pytorch"}, default="als"
        How the objective is minimised: alternating least squares, in closed form and in numpy
        alone; or by exact gradients in PyTorch (`pip install 'cfens_stack[torch]'`), on the CPU or
        a GPU, with class weights and focal loss reaching every parameter.
    latent_dim : int, default=32
        Rank d of the factorisation, capped at the number of columns with predictions: beyond it
        rank limits nothing.
    rho : float in [0, 1], default=0.5
        Weight of reconstruction against supervision, equation (3). Under ALS it acts through the
        label-aware confidence: at 1 labels do not touch the factors; without that confidence it
        changes nothing. In PyTorch it weighs the two losses.
    lambda_reg : float > 0, default=0.01
        L2 strength on the factors, equation (1); a share of the mean squared prediction, whatever n
        and m are.
    uncertainty : bool, default=True
        Whether missing cells are filled by a normal model of the complete row, and the probability
        of a row is the nearer to the prevalence the less is known of it, equations (4a) and (6a).
        False: the published method, which leaves missing cells out and takes what is left for
        certain. Complete rows are treated alike.
    link : {"logit", "identity"}, default="logit"
        Scale on which predictions are factorised and pooled. If R has values outside [0, 1] its
        columns are scores and "identity" is used.
    smoothing : float in (0, 1], default=0.01
        e in the log-odds log((r + e) / (1 - r + e)), which keeps those of 0 and 1 finite and the
        order of all others.
    confidence : {"uniform", "certainty", "calibration"} or callable, default="uniform"
        Trust in each prediction, C of equation (1): 1; 0.1 + 0.9 abs(2 r - 1); 1 - Brier score of
        the model; or a function (R, y) -> array of shape (n, m), >= 0, called with y=None for new
        rows.
    use_label_aware_confidence : bool or "auto", default="auto"
        Multiply the confidence of labelled rows in training by rho + (1 - rho) q, with q the
        probability that the cell gives to the truth, equation (4). "auto": under ALS, if the rarest
        class has a share below 0.2 (with K classes, 0.4 / K). True raises with trainer="pytorch",
        whose gradients need no approximation.
    use_class_weights : bool, default=False
        Weight classes by n / (K n_class) in the aggregator's loss, equation (2).
    focal_gamma : float >= 0, default=0.0
        Exponent of the focal loss in (2); 0 is the log loss.
    aggregator : {"weighted", "mean"}, default="weighted"
        Learn the weights of the models, or keep their plain average.
    aggregator_reg : float >= 0 or "auto", default="auto"
        Strength with which the weights are shrunk to the average of the calibrated models, equation
        (2). "auto" averages the weights over strengths from 3 to 10000, each by its Laplace
        evidence: no cross-validation. With three or more classes it averages over pairs of
        strengths: of what a model's weights have in common, and of what each class has of its own.
        With class weights or focal loss they are multiplied by the ratio of that loss's curvature
        to the plain one's.
    nonnegative : bool, default=False
        Keep the weights >= 0: easier to read, a little less accurate. Does not apply to scores
        outside [0, 1], whose direction is not known.
    posterior : {"natural", "weighted"}, default="natural"
        "natural" undoes the tilt of class weights and focal loss, equation (7): probabilities at
        the training prevalence. "weighted" returns them as trained.
    pos_label : label, default=None
        With two classes and one column per model, the class whose probability the columns give;
        None: `classes_[1]`, as in scikit-learn.
    layout : {"auto", "positive", "model-major", "class-major", "scores"}, default="auto"
        What the columns of R are. "positive": with two classes, one column per model, the probability
        of `classes_[1]`. "model-major": K columns per model, those of one model together, as
        scikit-learn passes them; "class-major": K blocks of one column per model. "scores": no
        probabilities of classes. "auto" reads it off the numbers: values outside [0, 1] are scores,
        columns far outside beside others within are refused; groups of K columns that sum to 1
        belong together (with two classes the first of a pair is then dropped as redundant), an
        ambiguous matrix raises, and more than two classes without such groups mean scores, with a
        warning.
    strict : bool, default=False
        Refuse values outside [0, 1] instead of treating the columns as scores.
    instance_factors : {"projected", "free"}, default="projected"
        With trainer="pytorch": instance factors by fold-in, differentiated through, or as
        parameters of their own.
    max_iter : int, default=100
        Limit on ALS sweeps or L-BFGS iterations; five Adam steps each with instance_factors="free".
    tol : float >= 0, default=0.0001
        Sweeps end when one lowers the objective by at most this share of it, L-BFGS iterations at a
        hundredth of that share, Adam at a tenth. A value of 1e-6 changes mean log loss by .0001 at
        most (`recipes/ablation.py`).
    device : str, default="auto"
        With trainer="pytorch": "auto" is CUDA where present, else the CPU; or a torch device such
        as "cuda:1".
    dtype : {"float64", "float32"}, default="float64"
        Precision of the sweeps, or of the training with trainer="pytorch"; what is learnt and
        predicted has float64. A sweep in float32 is 1.5 to 1.9 times as fast (`bench/kernel.py`),
        which counts with many rows and models and missing cells; rows that share a confidence need
        no sweep over rows and gain nothing. Meant for lambda_reg of 0.01 and more; below 0.001 a
        fit by ALS warns.
    random_state : int, RandomState instance or None, default=None
        Not used so far: both trainers start from the data and have no randomness.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    class_order_ : ndarray of int, shape (K,)
        Places in `classes_` in the order of the fit, the positive class of two last.
    n_features_in_ : int
        Number m of columns: base models, or base models times classes.
    feature_names_in_ : ndarray of shape (m,)
        Names of the base models, if R was a data frame with string columns.
    classifier_factors_ : ndarray of shape (m, d)
        Latent factors of the models, balanced and ordered by size; zero for a model without any
        prediction.
    coef_ : ndarray of shape (m,) or (K, m)
        Weights of the columns on the link scale; with more than two classes, a row for the score of
        each class.
    intercept_ : float or ndarray of shape (K,)
        b in p = sigmoid(w . r_hat + b), or in softmax(W r_hat + b).
    calibration_slopes_ : ndarray of shape (m,)
        Slope a >= 0 of each column: what its link-scale predictions must be multiplied by to be,
        alone, the log-odds of its class. Below 1 the model is overconfident; 0 is a model that
        predicts the opposite, or a column not in use. 1 for scores and for the plain average, which
        takes columns as they are.
    aggregator_reg_ : float
        The strength in use, for "auto" the mean on the log scale, over both of a pair; infinite for
        the plain average.
    layout_ : {"positive", "model-major", "scores"}
        What the columns were taken for; "model-major" for "class-major" too.
    link_ : str
        The link in use.
    column_means_ : ndarray of shape (m,)
        mu, mean link-scale prediction of each model.
    scale_ : float
        s, root mean square of the link-scale predictions about their means.
    history_ : dict of ndarrays
        "reconstruction": objective (1) before each sweep and after the last. "supervision":
        objective (2) at each aggregator step. With trainer="pytorch" both, and "objective" (3), at
        each iteration.
    n_iter_ : int
        Number of sweeps, L-BFGS iterations or Adam steps.
    converged_ : bool

    See Also
    --------
    CFEnsembleTrainer, CFEnsemblePyTorchTrainer : The two trainers under their own names.

    Notes
    -----
    Missing predictions are NaN, in `fit` and in prediction. A row without any gets what the average
    row would get. Fit is deterministic; the order of rows and columns, and a row twice against
    weight 2, make no difference.

    References
    ----------
    Y. Hu, Y. Koren, C. Volinsky (2008), "Collaborative filtering for implicit feedback datasets",
    ICDM. N. Charoenphakdee et al. (2021), "On focal loss for class-posterior probability
    estimation", CVPR. C. Elkan (2001), "The foundations of cost-sensitive learning", IJCAI.

    Examples
    --------
    >>> from cfens_stack import CFEnsemble
    >>> from cfens_stack.datasets import make_predictions
    >>> data = make_predictions(n_samples=600, n_models=12, missing=0.3, random_state=0)
    >>> meta = CFEnsemble().fit(data.R[:400], data.y[:400])
    >>> meta.predict_proba(data.R[400:]).shape
    (200, 2)
    >>> meta.reconstruct(data.R[400:]).shape
    (200, 12)
    """

    def __init__(
        self,
        trainer="als",
        *,
        latent_dim=32,
        rho=0.5,
        lambda_reg=0.01,
        uncertainty=True,
        link="logit",
        smoothing=0.01,
        confidence="uniform",
        use_label_aware_confidence="auto",
        use_class_weights=False,
        focal_gamma=0.0,
        aggregator="weighted",
        aggregator_reg="auto",
        nonnegative=False,
        posterior="natural",
        pos_label=None,
        layout="auto",
        instance_factors="projected",
        strict=False,
        max_iter=100,
        tol=1e-4,
        device="auto",
        dtype="float64",
        random_state=None,
    ):
        self.trainer = trainer
        self.latent_dim = latent_dim
        self.rho = rho
        self.lambda_reg = lambda_reg
        self.uncertainty = uncertainty
        self.link = link
        self.smoothing = smoothing
        self.confidence = confidence
        self.use_label_aware_confidence = use_label_aware_confidence
        self.use_class_weights = use_class_weights
        self.focal_gamma = focal_gamma
        self.aggregator = aggregator
        self.aggregator_reg = aggregator_reg
        self.nonnegative = nonnegative
        self.posterior = posterior
        self.pos_label = pos_label
        self.layout = layout
        self.instance_factors = instance_factors
        self.strict = strict
        self.max_iter = max_iter
        self.tol = tol
        self.device = device
        self.dtype = dtype
        self.random_state = random_state

    def train(self, problem):
        """Solution of a Problem, by the trainer chosen."""
        return {"als": train_als, "pytorch": train_pytorch}[self.trainer](problem, self)


class CFEnsembleTrainer(BaseCFEnsemble):
    """The ALS trainer under its own name: `CFEnsemble(trainer="als")` with the number of base
    models stated.

    Parameters are those of `CFEnsemble`, without the ones that only choose or steer another
    trainer.

    Parameters
    ----------
    n_classifiers : int, default=None
        Number of base models; None takes it from R, another number than R's raises.
    latent_dim, rho, lambda_reg, uncertainty, link, smoothing, confidence, \
use_label_aware_confidence, use_class_weights, focal_gamma, aggregator, aggregator_reg, \
nonnegative, posterior, pos_label, layout, strict, max_iter, tol, dtype, random_state
        See `CFEnsemble`.

    See Also
    --------
    CFEnsemble : The same method with a choice of trainer; lists all learned attributes.

    Examples
    --------
    >>> from cfens_stack import CFEnsembleTrainer
    >>> from cfens_stack.datasets import make_predictions
    >>> data = make_predictions(n_samples=300, n_models=10, random_state=0)
    >>> trainer = CFEnsembleTrainer(n_classifiers=10, latent_dim=4, rho=0.5).fit(data.R, data.y)
    >>> trainer.classifier_factors_.shape
    (10, 4)
    """

    def __init__(
        self,
        n_classifiers=None,
        latent_dim=32,
        rho=0.5,
        *,
        lambda_reg=0.01,
        uncertainty=True,
        link="logit",
        smoothing=0.01,
        confidence="uniform",
        use_label_aware_confidence="auto",
        use_class_weights=False,
        focal_gamma=0.0,
        aggregator="weighted",
        aggregator_reg="auto",
        nonnegative=False,
        posterior="natural",
        pos_label=None,
        layout="auto",
        strict=False,
        max_iter=100,
        tol=1e-4,
        dtype="float64",
        random_state=None,
    ):
        self.n_classifiers = n_classifiers
        self.latent_dim = latent_dim
        self.rho = rho
        self.lambda_reg = lambda_reg
        self.uncertainty = uncertainty
        self.link = link
        self.smoothing = smoothing
        self.confidence = confidence
        self.use_label_aware_confidence = use_label_aware_confidence
        self.use_class_weights = use_class_weights
        self.focal_gamma = focal_gamma
        self.aggregator = aggregator
        self.aggregator_reg = aggregator_reg
        self.nonnegative = nonnegative
        self.posterior = posterior
        self.pos_label = pos_label
        self.layout = layout
        self.strict = strict
        self.max_iter = max_iter
        self.tol = tol
        self.dtype = dtype
        self.random_state = random_state

    def train(self, problem):
        """Solution of a Problem, by alternating least squares."""
        return train_als(problem, self)


class CFEnsemblePyTorchTrainer(BaseCFEnsemble):
    """The PyTorch trainer under its own name: `CFEnsemble(trainer="pytorch")` with the number of
    base models stated.

    Class weights and focal factor are part of the one loss, so they reach the factors and the
    aggregator alike.

    Parameters
    ----------
    n_classifiers : int, default=None
        Number of base models; None takes it from R, another number than R's raises.
    use_label_aware_confidence : bool, default=False
        True raises: label-aware confidence stands in for a gradient that ALS does not have, and
        this trainer has it.
    instance_factors : {"projected", "free"}, default="projected"
        Instance factors by fold-in, differentiated through, or as parameters of their own.
    device : str, default="auto"
        "auto" is CUDA where present, else the CPU; or a torch device such as "cpu" or "cuda:1".
    dtype : {"float64", "float32"}, default="float64"
        Precision of the training.
    latent_dim, rho, lambda_reg, uncertainty, link, smoothing, confidence, use_class_weights, focal_gamma, aggregator, \
aggregator_reg, nonnegative, posterior, pos_label, layout, strict, max_iter, tol, random_state
        See `CFEnsemble`.

    See Also
    --------
    CFEnsemble : The same method with a choice of trainer; lists all learned attributes.
    CFEnsembleTrainer : Closed-form steps instead of gradients.

    Examples
    --------
    >>> from cfens_stack import CFEnsemblePyTorchTrainer
    >>> from cfens_stack.datasets import make_predictions
    >>> data = make_predictions(n_samples=300, n_models=10, random_state=0)
    >>> trainer = CFEnsemblePyTorchTrainer(n_classifiers=10, latent_dim=4, rho=0.5).fit(data.R, data.y)
    >>> trainer.classifier_factors_.shape
    (10, 4)
    """

    def __init__(
        self,
        n_classifiers=None,
        latent_dim=32,
        rho=0.5,
        *,
        lambda_reg=0.01,
        uncertainty=True,
        link="logit",
        smoothing=0.01,
        confidence="uniform",
        use_label_aware_confidence=False,
        use_class_weights=False,
        focal_gamma=0.0,
        aggregator="weighted",
        aggregator_reg="auto",
        nonnegative=False,
        posterior="natural",
        pos_label=None,
        layout="auto",
        instance_factors="projected",
        strict=False,
        max_iter=100,
        tol=1e-4,
        device="auto",
        dtype="float64",
        random_state=None,
    ):
        self.n_classifiers = n_classifiers
        self.latent_dim = latent_dim
        self.rho = rho
        self.lambda_reg = lambda_reg
        self.uncertainty = uncertainty
        self.link = link
        self.smoothing = smoothing
        self.confidence = confidence
        self.use_label_aware_confidence = use_label_aware_confidence
        self.use_class_weights = use_class_weights
        self.focal_gamma = focal_gamma
        self.aggregator = aggregator
        self.aggregator_reg = aggregator_reg
        self.nonnegative = nonnegative
        self.posterior = posterior
        self.pos_label = pos_label
        self.layout = layout
        self.instance_factors = instance_factors
        self.strict = strict
        self.max_iter = max_iter
        self.tol = tol
        self.device = device
        self.dtype = dtype
        self.random_state = random_state

    def train(self, problem):
        """Solution of a Problem, by gradients."""
        return train_pytorch(problem, self)
