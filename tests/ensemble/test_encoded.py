"""Fits that share encoded rows: the same as fits of their own."""

import numpy as np
import pytest

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions

DATA = make_predictions(n_samples=300, n_models=6, missing=0.1, random_state=0)
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2.0, 300)
LEARNT = ("coef_", "classifier_factors_", "intercept_", "calibration_slopes_", "aggregator_reg_")

OTHER_SETTINGS = [
    {},
    {"latent_dim": 2, "lambda_reg": 0.3, "rho": 0.9},
    {"confidence": "certainty"},
    {"confidence": "calibration", "use_label_aware_confidence": True},
    {"use_class_weights": True, "focal_gamma": 2.0, "aggregator_reg": 3.0},
    {"uncertainty": False, "nonnegative": True, "posterior": "weighted"},
]


@pytest.mark.parametrize("settings", OTHER_SETTINGS)
@pytest.mark.parametrize("shared", [{}, {"link": "identity"}, {"smoothing": 0.1}])
def test_fit_on_rows_encoded_by_another_is_its_own_fit(settings, shared):
    y = DATA.y.astype(float)
    y[::7] = np.nan
    encoded = CFEnsemble(**shared).encode(DATA.R, y, WEIGHTS)
    model = CFEnsemble(**shared, **settings)
    taken, own = (
        {name: getattr(fitted, name) for name in LEARNT}
        | {"P": fitted.predict_proba(DATA.R), "classes": fitted.classes_}
        for fitted in (model.fit_encoded(encoded), model.fit(DATA.R, y, WEIGHTS))
    )
    for name, value in own.items():
        np.testing.assert_array_equal(taken[name], value)


def test_encoding_leaves_the_estimator_and_carries_names():
    import pandas as pd

    frame = pd.DataFrame(DATA.R, columns=list("abcdef"))
    model = CFEnsemble()
    encoded = model.encode(frame, DATA.y)
    assert not hasattr(model, "n_features_in_")
    model.fit(DATA.R[:, :4], DATA.y).fit_encoded(encoded)
    assert list(model.feature_names_in_) == list("abcdef")
    assert model.n_features_in_ == 6
    model.fit_encoded(CFEnsemble().encode(DATA.R, DATA.y))
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("link", "identity"),
        ("smoothing", 0.2),
        ("aggregator", "mean"),
        ("pos_label", 0),
        ("strict", True),
        ("layout", "scores"),
        ("confidence", lambda R, y: np.ones_like(R)),
    ],
)
def test_rows_encoded_for_other_settings_are_refused_and_nothing_is_lost(name, value):
    encoded = CFEnsemble().encode(DATA.R, DATA.y)
    model = CFEnsemble().fit(DATA.R, DATA.y).set_params(**{name: value})
    before = model.coef_
    with pytest.raises(ValueError, match=f"encoded with {name}=.*but {name}="):
        model.fit_encoded(encoded)
    assert model.coef_ is before
