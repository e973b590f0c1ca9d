"""Journal files: torn records are dropped, foreign ones refused, and no trial is lost."""

import pytest

from cfens_stack import CFEnsembleSearch
from cfens_stack.datasets import make_predictions
from cfens_stack.search.journal import JournalError
from cfens_stack.search.storage import open_storage

DATA = make_predictions(n_samples=200, n_models=4, random_state=0)
FOREIGN = {
    "an event": b'{"event": "rotated"}\n',
    "a word as operation": b'{"op_code": "seven", "worker_id": "x"}\n',
    "an unknown operation": b'{"op_code": 99, "worker_id": "x"}\n',  # of an Optuna to come
    "a list": b"[1, 2]\n",
    "text": b"log rotated\n",
    "half a line": b"half a line of another program",
}
TORN = {
    "half a record": b'{"op_code":4,"wor',
    "a brace": b"{",
    "zeros": b"\x00" * 100,
    "half a record and a line end": b'{"op_code"\n',
    "much of a long record": b'{"op_code":8,"attr":"' + 100_000 * b"x",
    "half a record and zeros": b'{"op_code":4,"wor\n\x00\x00',
}


def search(n_trials, path, **settings):
    return CFEnsembleSearch(
        n_trials, cv=3, storage=path, study_name="s", random_state=0, **settings
    ).fit(DATA.R, DATA.y)


@pytest.fixture
def journal(tmp_path):
    """A journal of two trials."""
    path = tmp_path / "trials.journal"
    return path, search(2, path).study_.trials


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN.keys())
def test_a_torn_last_record_is_dropped(journal, torn):
    path, trials = journal
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert open_storage(path).get_all_trials(0) == trials
    assert path.read_bytes() == whole


def test_a_writer_drops_what_a_killed_one_left(journal):
    path, _ = journal
    writer = open_storage(path)
    path.write_bytes(path.read_bytes() + b'{"op_co')
    writer.set_study_user_attr(0, "key", 1)
    assert open_storage(path).get_study_user_attrs(0)["key"] == 1


@pytest.mark.parametrize("record", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_journal_that_ends_in_a_foreign_record_is_refused_and_left_as_it_is(journal, record):
    path, trials = journal
    whole = path.read_bytes()
    path.write_bytes(whole + record)
    with pytest.raises(JournalError, match="left as it is"):
        search(3, path)
    assert path.read_bytes() == whole + record
    path.write_bytes(whole)  # as the message says
    assert search(3, path).study_.trials[:2] == trials


def test_a_foreign_record_further_up_is_named_by_its_line(journal):
    path, _ = journal
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], b"{broken\n", *lines[5:]]))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"Line 6 .*intact"):
        open_storage(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", [kind for kind in FOREIGN if kind != "an unknown operation"])
def test_a_foreign_record_written_during_a_search_ends_it_in_plain_words(journal, kind):
    path, trials = journal
    record = FOREIGN[kind]

    def intrude(study, trial):
        with open(path, "ab") as file:
            file.write(record)

    with pytest.raises(OSError, match=r"cannot be read or written .*is not a record of Optuna"):
        search(6, path, callbacks=[intrude])
    path.write_bytes(path.read_bytes().replace(record, b""))
    assert search(3, path).study_.trials[:2] == trials
