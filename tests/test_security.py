"""Nothing is loaded that could run code, no temporary file has a name to be guessed, no password
shows.
"""

import ast
import logging
import re
import traceback
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.naive_bayes import GaussianNB

import cfens_stack
from cfens_stack import CFEnsemble, CFEnsembleSearch, StackingPipeline
from cfens_stack.datasets import make_predictions
from cfens_stack.search.passwords import hide_password, without_secrets

DATA = make_predictions(100, 4, random_state=0)
SOURCES = sorted(Path(cfens_stack.__file__).parent.rglob("*.py"))
RUN_CODE = r"(torch|pickle|cPickle|dill|cloudpickle|joblib|marshal|shelve)\.(load|loads|open)|eval|exec|os\.system"
TEMPORARY = r"(tempfile|os)\.(mktemp|tmpnam|tempnam)|tempfile\..*"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_source_loads_code_or_makes_temporary_files(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not re.fullmatch(RUN_CODE, called), called
            assert not re.fullmatch(TEMPORARY, called), called
            if called in ("np.load", "numpy.load"):
                assert "allow_pickle=False" in ast.unparse(node)
            assert "shell=True" not in ast.unparse(node)


def test_a_pickle_inside_a_table_of_predictions_is_not_loaded(tmp_path):
    from cfens_stack import read_predictions

    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harmed",))

    np.savez(tmp_path / "table.npz", R=DATA.R, y=np.array([Harmful()] * len(DATA.R)))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_predictions(tmp_path / "table.npz", label="y")
    assert not (tmp_path / "harmed").exists()


URLS = [
    "postgresql+psycopg://me:s3cret@host/db",
    "postgresql+psycopg://me:s3cret@s3cret@host/db",
    "postgresql+psycopg://me:s3c/s3cret:s3cret@host:5432/db",
    "postgresql+psycopg://host/db?user=me&password=s3cret",
    "mysql+pymysql://host/db?passwd=s3cret&user=me",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BX%7D%3BUID%3Dme%3BPWD%3Ds3cret",
    "postgresql+psycopg://host/db?sslkey=s3cret",
    "jdbc:sqlserver://host;user=me;password=s3cret",
    "postgresql+psycopg://host=localhost password=s3cret",
    "me:s3cret@host/db",
    "//me:s3cret@host:5432/db",
    "postgresql:me:s3cret@host/db",
    "DRIVER={SQL Server};SERVER=host;UID=me;PWD={s3c;s3cret};DATABASE=db",
    "host=localhost user=me password='s3cr \\'s3cret' dbname=db",
    "SERVER=host;PWD=s3c s3cret;UID=me",
]


@pytest.mark.parametrize("url", URLS)
def test_passwords_do_not_show(url):
    search = CFEnsembleSearch(storage=url)
    shown = [
        repr(search),
        search._repr_html_(),
        repr(CFEnsembleSearch().set_params(storage=url)),
        repr(clone(search)),
        repr(StackingPipeline([GaussianNB()], meta=search)),
        StackingPipeline([GaussianNB()], meta=search)._repr_html_(),
        repr(search.get_params()),
        repr(StackingPipeline(meta=CFEnsembleSearch()).set_params(meta__storage=url)),
    ]
    for text in shown:
        assert "s3c" not in text
        assert "***" in text
    assert search.get_params()["storage"] == url


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///trials.db",
        "sqlite:////runs/rate=0.1/trials.db",
        "postgresql://me@host/db",
        "postgresql://me@[::1]:5432/db",
        "trials.journal",
        "runs/rate=0.1/trials.log",
        "journal:///runs/trials.log",
        r"C:\runs\trials.log",
        None,
    ],
)
def test_what_has_no_password_is_left_as_it_is(url):
    assert hide_password(url) is url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql://me:s3cret@host:5432/db?sslmode=require",
            "postgresql://me:***@host:5432/db?***",
        ),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Ds3cret", "mssql+pyodbc:///?***"),
        ("me:s3cret@host/db", "me:***@host/db"),
        ("host=h user=me password='s3 cret' dbname=db", "host=h user=me password=*** dbname=db"),
    ],
)
def test_user_host_port_and_database_show(url, shown):
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    "url", [*URLS, "nonsense://me:s3cret@host:port/db", "postgresql+nonsense://me:s3cret@host/db"]
)
def test_a_storage_that_cannot_be_opened_is_named_without_its_password(url, caplog):
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises((ImportError, ValueError), match="storage='") as caught,
    ):
        CFEnsembleSearch(2, cv=2, storage=url, study_name="s").fit(DATA.R, DATA.y)
    assert "s3c" not in "".join(traceback.format_exception(caught.value))
    assert "s3c" not in caplog.text


def test_a_search_logs_no_password(tmp_path, caplog):
    """sqlite takes no password, but ignores parameters of its URL that it does not know when they
    come in this form.
    """
    storage = f"sqlite:///file:{tmp_path}/trials.db?password=s3cret&uri=true"
    with caplog.at_level(logging.DEBUG):
        search = CFEnsembleSearch(
            2, cv=2, storage=storage, study_name="s", random_state=0, estimator=CFEnsemble()
        )
        search.fit(DATA.R, DATA.y)
    assert (tmp_path / "trials.db").exists()
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(search) + search._repr_html_() + repr(search.study_)
