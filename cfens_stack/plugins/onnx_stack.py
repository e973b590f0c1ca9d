"""ONNX: a fitted StackingPipeline as a graph, base models and meta-learner in one."""

import numpy as np

from cfens_stack.plugins.onnx_graph import Graph


def convert_stack(scope, operator, container):
    """Converter for skl2onnx, of a stack whose base models it knows and that have `predict_proba`."""
    from skl2onnx.common.data_types import DoubleTensorType, guess_proto_type

    stack, X = operator.raw_operator, operator.inputs[0]
    n_classes, g = len(stack.classes_), Graph(scope, container)
    columns = []
    for name, model in stack.named_estimators_.items():
        order = _order_of_classes(name, model, stack.classes_)
        P = g("Gather", _probabilities(scope, model, X, X.type), order, axis=1)
        columns.append(g("Cast", P, to=g.double))
    kind = DoubleTensorType([None, len(columns) * (1 if n_classes == 2 else n_classes)])
    R = scope.declare_local_variable("cfens_predictions", kind)
    g("Concat", *columns, axis=1, output=R.full_name)
    P = _probabilities(scope, stack.meta_, R, kind)
    classes = stack.classes_
    classes = classes.astype(str) if classes.dtype.kind in "OUS" else classes.astype(np.int64)
    labels, probabilities = operator.outputs
    g("Gather", classes, g("ArgMax", P, axis=1, keepdims=0), output=labels.full_name)
    g("Cast", P, to=guess_proto_type(probabilities.type), output=probabilities.full_name)


def _order_of_classes(name, model, classes):
    """Columns of a base model's probabilities that the prediction matrix has, in its order."""
    if model is None:
        raise ValueError(f"Base model {name!r} is lost: convert stack.for_serving() instead.")
    if not hasattr(model, "predict_proba"):
        raise ValueError(
            f"Base model {name!r} has no predict_proba, so its map to probabilities would have to "
            "be converted too: fit the stack with CalibratedClassifierCV around it."
        )
    known, codes = list(model.classes_), list(range(len(classes)))
    wanted = codes if set(known) == set(codes) else list(classes)
    if set(known) != set(wanted):
        raise ValueError(f"Base model {name!r} knows the classes {known} only, of {list(classes)}.")
    order = [known.index(label) for label in wanted]
    return order[1:] if len(order) == 2 else order


def _probabilities(scope, model, variable, kind):
    """Name of the probabilities that a part of the graph, made by skl2onnx, will give."""
    from skl2onnx import get_model_alias
    from skl2onnx.common.data_types import Int64TensorType

    part = scope.declare_local_operator(get_model_alias(type(model)), model)
    part.inputs.append(variable)
    part.outputs.append(scope.declare_local_variable("cfens_label", Int64TensorType()))
    P = scope.declare_local_variable("cfens_probabilities", kind.__class__())
    part.outputs.append(P)
    return P.full_name
