"""ONNX: a converter of fitted ensembles for skl2onnx, equations (6) and (7) as a graph, missing
cells included.

ONNX has no linear solver. The d x d system of the fold-in is eliminated step by step, for all rows
at once, in d steps that the graph spells out; it is positive definite, so no pivoting is needed.
"""

import numpy as np

from cfens_stack.ensemble.confidence import CERTAINTY_FLOOR
from cfens_stack.ensemble.estimators import CFEnsemble
from cfens_stack.ensemble.losses import TINY


def register(estimator=CFEnsemble):
    """Let skl2onnx convert fitted ensembles, alone and inside pipelines and stacks.

    The graph computes in double precision and returns the precision of its input. It needs
    `target_opset` 13 or higher. Missing cells are NaN in its input. A callable `confidence` has no
    ONNX form and is refused at conversion.

    Parameters
    ----------
    estimator : class, default=CFEnsemble
        Or another subclass of what `CFEnsemble` inherits from, such as `CFEnsembleTrainer`.
    """
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    update_registered_converter(
        estimator,
        f"CfensStack{estimator.__name__}",
        calculate_linear_classifier_output_shapes,
        _convert,
        options={"zipmap": [True, False, "columns"], "nocl": [True, False]},
    )


class _Graph:
    """Nodes and constants of one converted operator: a call adds a node and returns the name of
    what it computes.
    """

    def __init__(self, scope, container):
        from onnx import TensorProto

        self.scope = scope
        self.container = container
        self.double = TensorProto.DOUBLE
        self.kinds = {"f": TensorProto.DOUBLE, "i": TensorProto.INT64, "U": TensorProto.STRING}

    def __call__(self, kind, *inputs, output=None, **attributes):
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        output = output or self.scope.get_unique_variable_name("cfens")
        name = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, names, output, name=name, **attributes)
        return output

    def constant(self, value):
        value = np.asarray(value)
        content = (
            [text.encode() for text in value] if value.dtype.kind == "U" else value.ravel().tolist()
        )
        name = self.scope.get_unique_variable_name("cfens_constant")
        self.container.add_initializer(name, self.kinds[value.dtype.kind], value.shape, content)
        return name


def _convert(scope, operator, container):
    from skl2onnx.common.data_types import guess_proto_type

    model = operator.raw_operator
    encoder = model.encoder_
    if callable(encoder.confidence):
        raise ValueError(
            f"confidence={encoder.confidence!r} is a function, which ONNX cannot hold: fit "
            "with a named one."
        )
    g = _Graph(scope, container)
    R = g("Cast", operator.inputs[0].full_name, to=g.double)
    R = g("Gather", R, encoder.layout.columns, axis=1)
    P = _posterior(g, model, _scores(g, model, _fold_in(g, model, R)))
    classes = model.classes_
    classes = classes.astype(str) if classes.dtype.kind in "OUS" else classes.astype(np.int64)
    g("Gather", classes, g("ArgMax", P, axis=1, keepdims=0), output=operator.outputs[0].full_name)
    g(
        "Cast",
        P,
        to=guess_proto_type(operator.outputs[1].type),
        output=operator.outputs[1].full_name,
    )


def _fold_in(g, model, R):
    """Instance factors: `Encoder.encode` and `kernels.ridge.fold_in`."""
    encoder = model.encoder_
    X = model.classifier_factors_[encoder.layout.columns]
    d = X.shape[1]
    observed = g("Not", g("IsNaN", R))
    R = g("Where", observed, R, 0.5)
    present = g("Cast", observed, to=g.double)
    Z = g("Div", g("Sub", _link(g, encoder, R, present), encoder.means), encoder.scale)
    C = g("Mul", present, encoder.column_confidence * encoder.confidence_scale)
    if encoder.confidence == "certainty" and encoder.layout.kind != "scores":
        distance = g("Abs", g("Sub", g("Mul", g("Clip", R, 0.0, 1.0), 2.0), 1.0))
        C = g("Mul", C, g("Add", g("Mul", distance, 1.0 - CERTAINTY_FLOOR), CERTAINTY_FLOOR))
    products = np.einsum("uk,ul->ukl", X, X).reshape(len(X), d * d)
    A = g("Add", g("Reshape", g("MatMul", C, products), [-1, d, d]), encoder.ridge * np.eye(d))
    b = g("Reshape", g("MatMul", g("Mul", C, Z), X), [-1, d, 1])
    T = g("Concat", A, b, axis=2)
    # Gauss-Jordan: row j over its pivot, taken from the others until column j is that of the
    # identity.
    for j in range(d):
        row = g("Gather", T, [j], axis=1)
        row = g("Div", row, g("Gather", row, [j], axis=2))
        column = g("Sub", g("Gather", T, [j], axis=2), np.eye(d)[:, [j]])
        T = g("Sub", T, g("Mul", column, row))
    return g("Gather", T, d, axis=2)


def _link(g, encoder, R, present):
    """`apply_link`."""
    K = encoder.layout.n_outputs
    if encoder.link == "identity":
        return R
    R = g("Clip", R, 0.0, 1.0)
    log_R = g("Log", g("Add", R, encoder.smoothing))
    if K == 1:
        return g("Sub", log_R, g("Log", g("Add", g("Sub", 1.0, R), encoder.smoothing)))
    log_R = g("Reshape", log_R, [0, -1, K])
    present = g("Reshape", present, [0, -1, K])
    total = g("ReduceSum", g("Mul", log_R, present), [2], keepdims=1)
    count = g("Max", g("ReduceSum", present, [2], keepdims=1), 1.0)
    return g("Reshape", g("Sub", log_R, g("Div", total, count)), [0, encoder.means.size])


def _scores(g, model, Y):
    W = np.atleast_2d(model.coef_)[:, model.encoder_.layout.columns]
    V = model.scale_ * model.classifier_factors_[model.encoder_.layout.columns].T @ W.T
    return g("Add", g("MatMul", Y, V), model.intercept_ + W @ model.column_means_)


def _posterior(g, model, scores):
    """Probabilities as trained, then `natural_posterior`, in logarithms."""
    K = len(model.classes_)
    if K == 2:
        scores = g("Concat", g("Mul", scores, 0.0), scores, axis=1)
    P = g("Softmax", scores, axis=1)
    gamma, weights = model.focal_gamma_, model.class_weights_
    untilted = model.posterior == "weighted" or not np.isfinite(model.aggregator_reg_)
    if untilted or (gamma == 0 and np.ptp(weights) == 0):
        return P
    p = g("Clip", P, TINY, 1.0)
    log_eta = log_p = g("Log", p)
    if gamma > 0:
        q = g("Clip", g("MatMul", P, 1.0 - np.eye(K)), TINY, 1.0)
        slope = g("Log", g("Sub", q, g("Mul", g("Mul", p, log_p), gamma)))
        log_eta = g("Sub", g("Sub", log_p, g("Mul", g("Log", q), gamma - 1.0)), slope)
    return g("Softmax", g("Sub", log_eta, np.log(weights)), axis=1)
