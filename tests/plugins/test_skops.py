"""A fitted CFEnsemble through skops, which loads only types that the reader trusts."""

import numpy as np
import pytest

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions

skops_io = pytest.importorskip("skops.io", reason="skops is not installed")


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("trainer", ["als", "pytorch"])
def test_loads_with_types_of_this_package_alone(trainer, n_classes):
    if trainer == "pytorch":
        pytest.importorskip("torch", reason="torch is not installed")
    data = make_predictions(200, 5, n_classes=n_classes, missing=0.2, random_state=0)
    assert np.isnan(data.R).any()
    model = CFEnsemble(trainer=trainer, max_iter=200, tol=1e-3).fit(data.R, data.y)
    file = skops_io.dumps(model)
    foreign = [
        name
        for name in skops_io.get_untrusted_types(data=file)
        if not name.startswith("cfens_stack.")
    ]
    assert not foreign
    loaded = skops_io.loads(file, trusted=skops_io.get_untrusted_types(data=file))
    np.testing.assert_array_equal(loaded.predict_proba(data.R), model.predict_proba(data.R))
    np.testing.assert_array_equal(loaded.predict(data.R), model.predict(data.R))
