"""Tables of predictions: what is read is what was written, and what is wrong is named."""

import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from cfens_stack import CFEnsemble, StackingPipeline, read_predictions

MODELS = [("bayes", GaussianNB()), ("logistic", LogisticRegression())]
SUFFIXES = [".csv", ".parquet", ".npz"]


def example():
    return pd.DataFrame(
        {
            "a": [0.1, np.nan, 0.7, 0.4],
            "b": [0.2, 0.8, 1.0, np.nan],
            "w": [1, 2, 0, 1],
            "f": [0, 0, 1, 1],
            "y": [0, 1, 1, 0],
        }
    )


def write(folder, frame, suffix=".csv", others=("w", "f", "y")):
    path = folder / f"table{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".npz":
        models = [name for name in frame if name not in others]
        extra = {name: frame[name].to_numpy() for name in others if name in frame}
        np.savez(path, R=frame[models].to_numpy(), model_names=np.array(models, dtype=str), **extra)
    else:
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_part_is_read(tmp_path, suffix):
    frame = example()
    table = read_predictions(write(tmp_path, frame, suffix), label="y", weight="w", fold="f")
    np.testing.assert_array_equal(table.R, frame[["a", "b"]].to_numpy())
    assert table.R.dtype == table.sample_weight.dtype == np.float64
    np.testing.assert_array_equal(table.y, frame["y"])
    np.testing.assert_array_equal(table.sample_weight, frame["w"])
    np.testing.assert_array_equal(table.folds, frame["f"])
    assert table.model_names == ["a", "b"]
    assert str(table) == "4 rows, 2 model columns, 25.0% of cells missing, 100.0% of rows labelled"
    with pytest.raises(FrozenInstanceError):
        table.R = None


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_data_frame_is_read_like_its_file(tmp_path, library):
    frame = example().assign(name=["r1", "r2", "r3", "r4"], note=[None, "x", "y", "z"])
    columns = {"label": "y", "weight": "w", "fold": "f", "id": "name", "ignore": ["note"]}
    file = read_predictions(write(tmp_path, frame), **columns)
    given = (
        frame
        if library == "pandas"
        else pytest.importorskip(library).DataFrame(frame.to_dict("list"))
    )
    table = read_predictions(given, **columns)
    for part in ("R", "y", "sample_weight", "folds", "ids"):
        np.testing.assert_array_equal(getattr(table, part), getattr(file, part))
    assert table.model_names == file.model_names == ["a", "b"]
    assert table.ids.tolist() == ["r1", "r2", "r3", "r4"]
    with pytest.raises(ValueError, match="The table has no column 'c'"):
        read_predictions(given, models=["c"])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_labels_of_a_data_frame_keep_their_type(library):
    polars = pytest.importorskip("polars")
    for labels in ([False, True], [3, 7], ["no", "yes"]):
        y = [*labels, None] * 20
        frame = pd.DataFrame({"a": np.linspace(0.1, 0.9, 60), "b": 0.3})
        if library == "polars":
            frame = polars.DataFrame(frame.to_dict("list")).with_columns(y=polars.Series(y))
        else:
            frame = frame.assign(y=pd.Series(y, dtype="category"))
        table = read_predictions(frame, label="y")
        classes = CFEnsemble().fit(table.R, table.y).classes_.tolist()
        assert classes == labels
        assert type(classes[0]) is type(labels[0])


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (
            {"row": [11, 12, 13, 14]},
            r"columns \['row'\] .* values outside \[0, 1\], while the other 2",
        ),
        (
            {"part": [0, 1, 2, 0]},
            r"columns \['part'\] .* values outside \[0, 1\], while the other 2",
        ),
        ({"truth": [0, 1, 1, 0]}, r"columns \['truth'\] .* tell the label of every row"),
        ({"not": [1, 0, 0, 1]}, r"columns \['not'\] .* tell the label of every row"),
    ],
)
def test_columns_that_are_hardly_predictions_bring_a_warning(extra, named):
    """A column of row numbers once became a model, and every other column scores."""
    frame = pd.concat([example().assign(**extra)] * 3)
    columns = {"label": "y", "weight": "w", "fold": "f"}
    with pytest.warns(UserWarning, match=named) as caught:
        read_predictions(frame, **columns)
    assert [record.filename for record in caught] == [__file__]
    name = next(iter(extra))
    for settings in ({"id": name}, {"ignore": [name]}, {"ignore": name}):
        assert read_predictions(frame, **columns, **settings).model_names == ["a", "b"]
    confirmed = read_predictions(frame, **columns, models=["a", "b", name])
    assert confirmed.model_names == ["a", "b", name]


def test_a_few_rows_may_be_told_by_chance():
    table = read_predictions(pd.DataFrame({"a": [0.2, 0.7], "y": ["no", "yes"]}), label="y")
    assert table.model_names == ["a"]


def test_row_numbers_among_scores_bring_a_warning():
    frame = pd.DataFrame({"n": [1, 2, 3], "a": [-1.5, 2.5, 0.3], "b": [3.5, 0.1, -4.0]})
    with pytest.warns(UserWarning, match=r"columns \['n'\] .* seem to number the rows"):
        read_predictions(frame)
    assert read_predictions(frame, id="n").ids.tolist() == [1, 2, 3]
    assert read_predictions(frame[["a", "b"]]).model_names == ["a", "b"]  # scores alone: no warning


def test_neither_a_path_nor_a_frame():
    with pytest.raises(TypeError, match="table is of type ndarray: pass the path of a file"):
        read_predictions(np.ones((2, 2)))


def test_models_are_taken_in_the_order_asked_for(tmp_path):
    table = read_predictions(str(write(tmp_path, example())), models=["b", "a"])
    assert table.model_names == ["b", "a"]
    assert read_predictions(write(tmp_path, example()), models="b").model_names == ["b"]
    np.testing.assert_array_equal(table.R, example()[["b", "a"]].to_numpy())
    assert table.y is table.sample_weight is table.folds is None
    assert str(table).endswith("no labels")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_round_trip_of_a_pipeline(tmp_path, suffix, n_classes):
    X, y = make_classification(150, 6, n_informative=4, n_classes=n_classes, random_state=0)
    stack = StackingPipeline(MODELS, cv=3).fit(X, y)
    frame = pd.DataFrame(stack.oof_, columns=stack.get_feature_names_out()).assign(y=y)
    table = read_predictions(write(tmp_path, frame, suffix), label="y")
    np.testing.assert_array_equal(table.R, stack.oof_)
    assert table.model_names == list(stack.get_feature_names_out())
    P = CFEnsemble().fit(table.R, table.y).predict_proba(table.R)
    np.testing.assert_array_equal(P, CFEnsemble().fit(stack.oof_, y).predict_proba(stack.oof_))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    "labels", [["no", "yes"], [0, 1], [False, True]], ids=["text", "integers", "booleans"]
)
def test_missing_labels_are_kept(tmp_path, suffix, labels):
    rng = np.random.default_rng(0)
    y = pd.Series(labels * 30).convert_dtypes()
    y[::3] = pd.NA
    frame = pd.DataFrame(rng.uniform(size=(60, 3)), columns=list("abc")).assign(y=y)
    table = read_predictions(write(tmp_path, frame, suffix), label="y")
    assert "66.7% of rows labelled" in str(table)
    meta = CFEnsemble().fit(table.R, table.y)
    np.testing.assert_array_equal(meta.classes_, labels)


def test_a_model_that_scored_nothing_is_all_missing(tmp_path):
    frame = example().assign(c=None)
    for suffix in (".csv", ".parquet"):
        table = read_predictions(write(tmp_path, frame, suffix), models=["a", "c"])
        assert np.isnan(table.R[:, 1]).all()


def test_npz_without_names_numbers_the_models(tmp_path):
    np.savez(tmp_path / "table.npz", R=np.full((3, 2), 0.5))
    assert read_predictions(tmp_path / "table.npz").model_names == ["model0", "model1"]


@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        ({}, {"label": "target"}, "no column 'target'; it has a, b, w, f, y"),
        ({}, {"models": ["a", "c"]}, "no column 'c'"),
        ({}, {"models": ["a", "a"]}, "column 'a' is there, or asked for, more than once"),
        (
            {},
            {"models": ["a", "y"], "label": "y"},
            "column 'y' is there, or asked for, more than once",
        ),
        ({}, {"models": []}, "no column of predictions"),
        ({"b": ["x", "y", "z", ""]}, {"label": "y"}, "column 'b' is not numeric"),
        ({"w": [1, -1, 1, 1]}, {"weight": "w"}, "column 'w' of weights is negative"),
        (
            {"w": [1, np.nan, 1, 1]},
            {"weight": "w"},
            "column 'w' of weights is negative, infinite or missing",
        ),
    ],
)
def test_errors_name_the_column(tmp_path, change, columns, message):
    with pytest.raises(ValueError, match=message):
        read_predictions(write(tmp_path, example().assign(**change)), **columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,b,a\n0.1,0.2,0.3\n",
            "column 'a' is there, or asked for, more than once",
        ),  # pandas would call it a.1
        (
            ",a,b\n1,0.2,0.3\n",
            "a column without a name",
        ),  # row numbers of R's write.csv and pandas' to_csv
        ("a,b\n", "no rows"),
        ("", "cannot be read as CSV"),
        (
            "a,b\n0.1,0.2,0.3\n",
            "more values in a row than names in its first line",
        ),  # pandas would take the first value for an index, and name the others a and b
        ("a;b\n0,1;0,2\n", "more values in a row than names in its first line"),
    ],
)
def test_mistakes_of_writers(tmp_path, text, message):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_predictions(tmp_path / "table.csv")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"P": np.ones((2, 2))}, "no array 'R' of predictions; it has P"),
        ({"R": np.ones(2)}, r"R has shape \(2,\)"),
        ({"R": np.ones((2, 2)), "model_names": np.array(["a"])}, "1 model_names for the 2 columns"),
        ({"R": np.ones((2, 2)), "y": np.ones(3)}, r"array 'y' has shape \(3,\)"),
        ({"R": np.ones((2, 2)), "y": np.array(["a", None])}, "Object arrays cannot be loaded"),
    ],
)
def test_errors_of_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "table.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_predictions(tmp_path / "table.npz", label="y")


def test_a_file_that_is_not_utf_8(tmp_path):
    (tmp_path / "table.csv").write_bytes("é\n0.1\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"cannot be read as CSV .*utf-8"):
        read_predictions(tmp_path / "table.csv")


def test_a_column_without_a_name_may_be_the_id(tmp_path):
    (tmp_path / "table.csv").write_text(",a,b\n7,0.2,0.3\n9,0.4,0.5\n")
    table = read_predictions(tmp_path / "table.csv", id="")
    assert (table.model_names, table.ids.tolist()) == (["a", "b"], [7, 9])


def test_a_missing_file_and_an_unknown_suffix(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*absent\.csv"):
        read_predictions(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match=r"ends in '\.xlsx'; valid are \.csv, \.parquet"):
        read_predictions(tmp_path / "table.xlsx")


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "table.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"cfens-stack\[recipes\]"):
        read_predictions(tmp_path / "table.parquet")
