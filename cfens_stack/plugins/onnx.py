"""ONNX: a converter of fitted ensembles for skl2onnx, equations (6) and (7) as a graph, missing
cells included.

ONNX has no linear solver: the system of each row is eliminated step by step, for all rows at once.
"""

import numpy as np

from cfens_stack.ensemble.confidence import CERTAINTY_FLOOR
from cfens_stack.ensemble.damping import damping_of
from cfens_stack.ensemble.estimators import CFEnsemble
from cfens_stack.ensemble.losses import TINY
from cfens_stack.kernels.ridge import shared_solution
from cfens_stack.plugins.onnx_graph import Graph, eliminate
from cfens_stack.plugins.onnx_stack import convert_stack
from cfens_stack.stacking import StackingPipeline


def register(estimator=CFEnsemble):
    """Let skl2onnx convert fitted ensembles, alone and inside pipelines and stacks, and a fitted
    `StackingPipeline` of base models that it knows.

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

    for kind, convert in ((estimator, _convert), (StackingPipeline, convert_stack)):
        update_registered_converter(
            kind,
            f"CfensStack{kind.__name__}",
            calculate_linear_classifier_output_shapes,
            convert,
            options={"zipmap": [True, False, "columns"], "nocl": [True, False]},
        )


def _convert(scope, operator, container):
    from skl2onnx.common.data_types import guess_proto_type

    model = operator.raw_operator
    encoder = model.encoder_
    if callable(encoder.confidence):
        raise ValueError(
            f"confidence={encoder.confidence!r} is a function, which ONNX cannot hold: fit "
            "with a named one."
        )
    g = Graph(scope, container)
    R = g("Cast", operator.inputs[0].full_name, to=g.double)
    R = g("Gather", R, encoder.layout.columns, axis=1)
    P = _posterior(g, model, _logits(g, model, R))
    classes = model.classes_
    classes = classes.astype(str) if classes.dtype.kind in "OUS" else classes.astype(np.int64)
    g("Gather", classes, g("ArgMax", P, axis=1, keepdims=0), output=operator.outputs[0].full_name)
    g(
        "Cast",
        P,
        to=guess_proto_type(operator.outputs[1].type),
        output=operator.outputs[1].full_name,
    )


def _logits(g, model, R):
    """Scores, equations (6) and (6a)."""
    encoder = model.encoder_
    X, W = model.classifier_factors_[encoder.layout.columns], _weights(model)
    observed, Z, C = _encode(g, encoder, R)
    damping = damping_of(encoder, X, W) if np.isfinite(model.aggregator_reg_) else None
    variance = None
    if encoder.completion is not None:
        Z, C, variance = _complete(g, encoder, observed, Z, C, damping)
    Y = _fold_in(g, encoder, X, Z, C)
    b = model.intercept_ + W @ encoder.means
    logits = g("MatMul", Y, encoder.scale * X.T @ W.T)
    if variance is None or damping is None:
        return g("Add", logits, b)
    kappa = g("Div", 1.0, g("Sqrt", g("Add", g("Mul", variance, np.pi / 8.0), 1.0)))
    lowest = damping.lowest
    t = g("Mul", g("Sub", 1.0, kappa), 1.0 / (1.0 - lowest) if lowest < 1.0 else 0.0)
    intercept = g("Add", g("Mul", t, model.base_logits_ - b), b)
    return g("Add", g("Mul", kappa, logits), intercept)


def _weights(model):
    return np.atleast_2d(model.coef_)[:, model.encoder_.layout.columns]


def _encode(g, encoder, R):
    """`Encoder.encode`: which cells are observed, Z and C."""
    observed = g("Not", g("IsNaN", R))
    R = g("Where", observed, R, 0.5)
    present = g("Cast", observed, to=g.double)
    Z = g("Div", g("Sub", _link(g, encoder, R, present), encoder.means), encoder.scale)
    C = g("Mul", present, encoder.column_confidence * encoder.confidence_scale)
    if encoder.confidence == "certainty" and encoder.layout.kind != "scores":
        distance = g("Abs", g("Sub", g("Mul", g("Clip", R, 0.0, 1.0), 2.0), 1.0))
        C = g("Mul", C, g("Add", g("Mul", distance, 1.0 - CERTAINTY_FLOOR), CERTAINTY_FLOOR))
    return observed, Z, C


def _complete(g, encoder, observed, Z, C, damping):
    """`Completion.fill` and `excess_variance`: Z and C of complete rows, variance (n, 1) or None.

    The system of the observed cells stands in one of all cells, with the identity for missing ones.
    """
    completion = encoder.completion
    S, q = completion.covariance, len(encoder.means)
    present = g("Cast", observed, to=g.double)
    across, down = g("Reshape", present, [-1, 1, q]), g("Reshape", present, [-1, q, 1])
    noise = g("Sub", g("Div", 1.0, g("Where", observed, C, 1.0)), 1.0)
    diagonal = g("Where", observed, g("Mul", noise, completion.noise), 1.0)
    A = g("Mul", g("Mul", down, across), S)
    A = g("Add", A, g("Mul", g("Reshape", diagonal, [-1, q, 1]), np.eye(q)))
    right = known = g("Mul", down, g("Reshape", Z, [-1, q, 1]))
    if damping is not None:
        values, vectors = np.linalg.eigh(damping.B)
        kept = values > 1e-15 * values[-1]
        roots = vectors[:, kept] * np.sqrt(values[kept])  # B = roots roots'
        missing = g("Mul", g("Sub", 1.0, down), roots)
        u = g("MatMul", S, missing)
        seen = g("Mul", down, u)
        right = g("Concat", known, seen, axis=2)
    solved = eliminate(g, A, right, q)
    filled = g("MatMul", g("Gather", solved, 0, axis=2), S)
    Z = g("Where", observed, Z, filled)
    C = g("Where", observed, C, completion.confidence) if completion.per_cell else None
    if damping is None:
        return Z, C, None
    rest = g("Slice", solved, [1], [np.iinfo(np.int64).max], [2])
    terms = g("Sub", g("Mul", missing, u), g("Mul", seen, rest))
    variance = g(
        "Max", g("ReduceSum", g("ReduceSum", terms, [2], keepdims=0), [1], keepdims=1), 0.0
    )
    return Z, C, variance


def _fold_in(g, encoder, X, Z, C):
    """`kernels.ridge.fold_in`; C None stands for the confidence of a completed row."""
    if C is None:
        return g("MatMul", Z, shared_solution(encoder.completion.confidence, X, encoder.ridge).T)
    d = X.shape[1]
    products = np.einsum("uk,ul->ukl", X, X).reshape(len(X), d * d)
    A = g("Add", g("Reshape", g("MatMul", C, products), [-1, d, d]), encoder.ridge * np.eye(d))
    right = g("Reshape", g("MatMul", g("Mul", C, Z), X), [-1, d, 1])
    return g("Gather", eliminate(g, A, right, d), 0, axis=2)


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


def _posterior(g, model, scores):
    """Probabilities as trained, then `natural_posterior`, in logarithms."""
    K = len(model.classes_)
    if K == 2:
        scores = g("Concat", g("Mul", scores, 0.0), scores, axis=1)
    P = g("Gather", g("Softmax", scores, axis=1), model.class_order_, axis=1)
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
