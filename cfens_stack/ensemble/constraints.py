"""What the parameters of the ensembles may be, in scikit-learn's declarative form."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

from cfens_stack.ensemble.aggregator import AGGREGATORS
from cfens_stack.ensemble.confidence import CONFIDENCES
from cfens_stack.ensemble.layout import LAYOUTS
from cfens_stack.ensemble.link import LINKS

LEAST_LAMBDA = 1e-12  # of lambda_reg: below it systems of rows are singular in rounding

CONSTRAINTS: dict = {
    "n_classifiers": [Interval(Integral, 1, None, closed="left"), None],
    "trainer": [StrOptions({"als", "pytorch"})],
    "instance_factors": [StrOptions({"projected", "free"})],
    "device": [str],
    "dtype": [StrOptions({"float64", "float32"})],
    "latent_dim": [Interval(Integral, 1, None, closed="left")],
    "rho": [Interval(Real, 0, 1, closed="both")],
    "pos_label": "no_validation",
    "lambda_reg": [Interval(Real, LEAST_LAMBDA, None, closed="left")],
    "uncertainty": ["boolean"],
    "link": [StrOptions(set(LINKS))],
    "smoothing": [Interval(Real, 0, 1, closed="right")],
    "confidence": [StrOptions(set(CONFIDENCES)), callable],
    "use_label_aware_confidence": ["boolean", StrOptions({"auto"})],
    "use_class_weights": ["boolean"],
    "focal_gamma": [Interval(Real, 0, None, closed="left")],
    "aggregator": [StrOptions(set(AGGREGATORS))],
    "aggregator_reg": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    "nonnegative": ["boolean"],
    "posterior": [StrOptions({"natural", "weighted"})],
    "layout": [StrOptions(set(LAYOUTS))],
    "strict": ["boolean"],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "random_state": ["random_state"],
}
