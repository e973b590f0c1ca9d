"""joblib.dump here, joblib.load under another Python, and the other way round.

Pythons are found on PATH as python3.11 to python3.13; one that lacks what the package needs is
skipped. With environments of their own: PATH=/venv312/bin:/venv313/bin:$PATH python -m pytest -rs
tests/plugins/test_joblib.py
"""

import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

import cfens_stack
from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions

ROOT = Path(cfens_stack.__file__).parents[1]
PASS_ON = """
import sys
import joblib
fitted = joblib.load(sys.argv[1])
joblib.dump([(model, R, model.predict_proba(R), model.predict(R)) for model, R, *_ in fitted], sys.argv[2])
"""


@pytest.fixture(params=["3.11", "3.12", "3.13"])
def other_python(request):
    own = "{}.{}".format(*sys.version_info)
    path = sys.executable if request.param == own else shutil.which(f"python{request.param}")
    if path is None:
        pytest.skip(f"python{request.param} is not on PATH")
    if subprocess.run(
        [path, "-c", "import cfens_stack"], cwd=ROOT, capture_output=True, check=False
    ).returncode:
        pytest.skip(f"python{request.param} lacks what the package needs")
    return path


def test_there_and_back(other_python, tmp_path):
    fitted = []
    for n_classes in (2, 3):
        data = make_predictions(200, 5, n_classes=n_classes, missing=0.2, random_state=0)
        model = CFEnsemble(use_class_weights=True).fit(
            data.R, np.array(["ant", "bee", "cat"])[data.y]
        )
        fitted.append((model, data.R))
    joblib.dump(fitted, tmp_path / "here")
    command = [other_python, "-c", PASS_ON, str(tmp_path / "here"), str(tmp_path / "there")]
    subprocess.run(command, cwd=ROOT, check=True)
    for (model, R), (back, _, P, labels) in zip(
        fitted, joblib.load(tmp_path / "there"), strict=True
    ):
        np.testing.assert_allclose(P, model.predict_proba(R), atol=1e-12)
        np.testing.assert_array_equal(labels, model.predict(R))
        np.testing.assert_array_equal(back.predict_proba(R), model.predict_proba(R))
