"""constraints-min.txt pins the minima of pyproject.toml: what `make test-min` runs is what is
promised.
"""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no tomllib")
ROOT = Path(__file__).parents[1]
NOT_IN_TESTS = {"ruff", "mypy", "pre-commit"}


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"])
    return [requirement for requirement in found if requirement.name not in NOT_IN_TESTS]


def pinned():
    lines = (
        line.split("#")[0].strip()
        for line in (ROOT / "constraints-min.txt").read_text().splitlines()
    )
    return dict(line.split("==") for line in lines if line)


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_the_oldest_version_promised_is_the_one_tested(requirement):
    """Up to the patch release: numpy>=1.24 is tested with the last 1.24."""
    (minimum,) = requirement.specifier
    assert requirement.name in pinned(), (
        f"add {requirement.name}=={minimum.version} to constraints-min.txt"
    )
    version = pinned()[requirement.name]
    assert version in requirement.specifier
    parts = 3 if minimum.version.count(".") == 2 else 2
    assert version.split(".")[:parts] == f"{minimum.version}.0".split(".")[:parts]
