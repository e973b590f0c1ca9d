"""ONNX: a graph that is written one call per node, and the linear solver that ONNX does not have."""

import numpy as np


class Graph:
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


def eliminate(g, A, right, size):
    """Solutions of the systems A (n, size, size) for all right-hand sides (n, size, r) of each row.

    Gauss-Jordan: row j over its pivot, taken from the others until column j is that of the identity.
    The systems are positive definite, so no pivoting is needed; the graph spells the steps out.
    """
    T = g("Concat", A, right, axis=2)
    for j in range(size):
        row = g("Gather", T, [j], axis=1)
        row = g("Div", row, g("Gather", row, [j], axis=2))
        column = g("Sub", g("Gather", T, [j], axis=2), np.eye(size)[:, [j]])
        T = g("Sub", T, g("Mul", column, row))
    return g("Slice", T, [size], [np.iinfo(np.int64).max], [2])
