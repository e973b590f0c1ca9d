"""constraints-min.txt pins the minima of pyproject.toml: what `make test-min` runs is what is
promised. One version of the package and one oldest Python stand everywhere.
"""

import re
import tomllib

import pytest
from documents import read
from packaging.requirements import Requirement
from packaging.version import Version

import cfens_stack

NOT_IN_TESTS = {"ruff", "mypy", "pre-commit"}


def requirements():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    found = map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"])
    return [requirement for requirement in found if requirement.name not in NOT_IN_TESTS]


def pinned():
    lines = (line.split("#")[0].strip() for line in read("constraints-min.txt").splitlines())
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


def test_every_file_names_the_same_oldest_python():
    oldest = tomllib.loads(read("pyproject.toml"))["project"]["requires-python"].removeprefix(">=")
    assert f"Python >= {oldest} " in read("Makefile")
    assert f"PYTHON_MIN ?= python{oldest}\n" in read("Makefile")
    assert f'target-version = "py{oldest.replace(".", "")}"' in read("pyproject.toml")
    for page in ("README.md", "CONTRIBUTING.md"):
        assert re.findall(r"Python (3\.\d+) or (?:later|newer)", read(page)) == [oldest]


def test_the_citation_file_names_the_version_that_is_released_next():
    (cited,) = re.findall(r"^version: (\S+)$", read("CITATION.cff"), re.MULTILINE)
    assert cited == Version(cfens_stack.__version__).base_version
