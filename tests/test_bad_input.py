"""What bad input gets: an error that says what was passed, what is valid and what to do."""

import re
from inspect import signature

import numpy as np
import pytest
from bad_input_cases import FRAME, PARAMETERS, ROWS, SECTIONS, THREE, R, Y, changed, weights
from bad_input_page import PAGE, page
from sklearn.utils.validation import _check_sample_weight

from cfens_stack import CFEnsemble

# scikit-learn 1.6 leaves weights of 0 to the check of each class.
OLDER = "allow_all_zero_weights" not in signature(_check_sample_weight).parameters
BEFORE = {
    "sample_weight zero throughout": "sample_weight gives class 0 a total weight of 0: every class needs"
}
ALL = [(title, case) for title, cases in SECTIONS.items() for case in cases]


@pytest.mark.filterwarnings("ignore::cfens_stack.BaseModelWarning")
@pytest.mark.filterwarnings("ignore:Setting penalty:UserWarning")
@pytest.mark.parametrize(
    "case", [case for _, case in ALL], ids=[f"{title} {case.what}" for title, case in ALL]
)
def test_bad_input(case, tmp_path):
    with pytest.raises(case.error) as caught:
        case.call(tmp_path)
    message = BEFORE.get(case.what, case.message) if OLDER else case.message
    pieces = [re.escape(piece.strip()) for piece in message.split("…")]
    assert re.search(r"[\s\S]*?".join(pieces), str(caught.value)), str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_no_case_twice():
    titles = [(title, case.what) for title, case in ALL]
    assert len(set(titles)) == len(titles) >= 250


def test_the_page_of_errors_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tests/bad_input_page.py"


def test_every_parameter_has_a_bad_value_here():
    named = {
        name for case in PARAMETERS for name in re.findall(r"The '(\w+)' parameter", case.message)
    }
    # pos_label is no matter of type: a class or none.
    assert named | {"pos_label"} == CFEnsemble().get_params().keys()


@pytest.mark.filterwarnings("ignore:layout='auto' takes:UserWarning")
@pytest.mark.filterwarnings("ignore:.* outside:UserWarning")
@pytest.mark.parametrize("value", [-0.5, 1.5, 1e6])
def test_finite_values_outside_the_unit_interval_are_accepted_by_default(value):
    R_odd = changed((0, 0), value)
    meta = CFEnsemble().fit(R_odd, Y)
    assert meta.layout_ == "scores"
    assert np.isfinite(meta.predict_proba(R_odd)).all()
    assert np.isfinite(CFEnsemble().fit(R, Y).predict_proba(R_odd)).all()


def test_strict_accepts_missing_cells_and_the_ends():
    R_fine = changed((0, slice(0, 3)), [0.0, 1.0, np.nan])
    assert CFEnsemble(strict=True).fit(R_fine, Y).layout_ == "positive"


def test_weight_zero_for_rows_of_a_class_that_keeps_others_is_fine():
    CFEnsemble().fit(R, Y, sample_weight=weights(0.0, ROWS < 20))


def test_names_lost():
    meta = CFEnsemble().fit(FRAME, Y)
    with pytest.warns(
        UserWarning, match="X does not have valid feature names, but CFEnsemble was fitted with"
    ):
        meta.predict_proba(R)


def test_a_refused_fit_alters_no_parameter():
    """A failed fit once rewrote rho (mistake 9)."""
    meta = CFEnsemble(rho=0.25, layout="model-major")
    before = meta.get_params()
    with pytest.raises(ValueError, match="needs 3 columns"):
        meta.fit(R, THREE)
    assert meta.get_params() == before
