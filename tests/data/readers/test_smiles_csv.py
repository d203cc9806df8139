import csv
import gzip
import logging
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gradformer_dgl.data import load_dataset
from gradformer_dgl.nn.encoders import OGB_ATOM_SIZES
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.support.errors import DataError

Chem = pytest.importorskip("rdkit.Chem", reason="RDKit is not installed")

SMILES = ("CCO", "c1ccccc1", "C#N", "CC(=O)O", "C1CC1", "O", "CCCCN")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text as a CSV file."""

    def write(text: str | bytes, name: str = "mine.csv") -> Path:
        content = text.encode() if isinstance(text, str) else text
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return tmp_path / name

    return write


def table(**columns: list[object]) -> str:
    """Columns as the text of a CSV file, beside the SMILES above."""
    rows = zip(SMILES, *columns.values(), strict=True)
    return "\n".join([",".join(("smiles", *columns)), *(",".join(map(str, row)) for row in rows)]) + "\n"


def load(file: Path, *targets: str, **options: object):
    return load_dataset(str(file), target_columns=targets, **options)


def test_a_file_as_spreadsheets_write_it(write: Callable[..., Path]) -> None:
    """A byte order mark, Windows lines, quotes with commas and line ends, empty lines, gzipped."""
    text = (
        '\ufeffSMILES , name,y\r\n CCO ,"alcohol, ""ethyl"",\r\nof wine",78.2\r\n\r\nC,"methane", -161.5\r\n'
    )
    for name in ("boiling.csv", "boiling.csv.gz", "Boiling.CSV"):
        data = load(write(text, name), "y")
        assert data.name == name.split(".")[0]
        assert data.graphs.labels.flatten().tolist() == pytest.approx([78.2, -161.5])
        assert data.graphs.node_counts.tolist() == [3, 1]
        assert (data.task, data.out_size, data.splits) == ("regression", 1, None)
        assert data.node_size == OGB_ATOM_SIZES


def test_lines_that_cannot_be_read_are_named(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    text = 'y,smiles,note\n1.5,CCO,"two\nlines"\n\n2.5,C(C,\n3.5,,\n4.5,CN(C)(C)(C)C,\n5.5,C,\n'
    with caplog.at_level(logging.INFO, logger="gradformer_dgl"):
        data = load(write(text), "y")
        kept = load(write(text), "y", sanitize=False)
    assert data.graphs.labels.flatten().tolist() == [1.5, 5.5]
    assert kept.graphs.labels.flatten().tolist() == [1.5, 4.5, 5.5]
    assert (data.source.unsanitized, kept.source.unsanitized) == (False, True)
    lines = text.split("\n")
    assert (lines[4], lines[5], lines[6]) == ("2.5,C(C,", "3.5,,", "4.5,CN(C)(C)(C)C,")
    assert "RDKit cannot read 3 of 5 molecules (lines 5, 6, 7): left out" in caplog.text
    assert "RDKit cannot read 2 of 5 molecules (lines 5, 6): left out" in caplog.text
    assert "1 of 5 molecules not valid for RDKit (line 7): read without its checks" in caplog.text
    caplog.clear()
    many = "smiles\n" + "C1CC\n" * 5000 + "C\n"
    assert len(load(write(many))) == 1
    assert "5000 of 5001 molecules (lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 4,990 more)" in caplog.text
    assert len(caplog.records) == 1


def test_missing_labels_of_each_task(write: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="gradformer_dgl")
    y, z = ["0.5", "", "NaN", "2", "3", "4", "5"], ["1", "", "0", "nan", "1", "1", "0"]
    word = ["b", "a", "", "c", "a", "nan", "b"]
    file = write(table(y=y, z=z, word=word))
    both = load(file, "y", "z")
    assert both.task == "regression"
    assert both.labelled.tolist() == [0, 2, 3, 4, 5, 6]
    assert "1 of 7 molecules without a label (line 3): not used in training" in caplog.text
    torch.testing.assert_close(
        both.graphs.labels,
        torch.tensor([[float(cell or "nan") for cell in row] for row in zip(y, z, strict=True)]),
        equal_nan=True,
    )
    one = load(file, "z")
    assert (one.task, one.labelled.tolist()) == ("binary", [0, 2, 4, 5, 6])
    assert load(file, "z", "z").task == "multilabel"
    words = load(file, "word")
    assert (words.task, words.out_size) == ("multiclass", 3)
    assert words.graphs.labels.tolist() == [1, 0, -1, 2, 0, -1, 1]
    assert words.labelled.tolist() == [0, 1, 3, 4, 6]
    assert "classes of word: a, b, c" in caplog.text
    assert "(lines 4, 7): not used in training" in caplog.text
    assert all(len(data) == 7 for data in (both, one, words))


# STR_NA_VALUES of pandas 2.3, and NAN in any case.
MISSING = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "", "NAN",
)  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "options", "task", "expected"),
    [
        (("0.5", "2", "-1e3"), {}, "regression", [0.5, 2, -1000]),
        (("1", "0", "1.0"), {}, "binary", [1, 0, 1]),
        (("True", "fALSE", "TRUE"), {}, "binary", [1, 0, 1]),
        (("true", "0", "1"), {"task": "binary"}, "binary", [1, 0, 1]),
        (("none", "Null", "NAs"), {}, "multiclass", [2, 1, 0]),
        (("True", "False", "maybe"), {}, "multiclass", [1, 0, 2]),
        (("2", "1", "2"), {"task": "multiclass"}, "multiclass", [1, 0, 1]),
    ],
)
def test_words_for_missing_labels(
    write: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    labels: tuple[str, ...],
    options: dict[str, str],
    task: str,
    expected: list[float],
) -> None:
    rows = [f"CCO,{cell}" for cell in (*MISSING, *labels, *labels)]
    data = load(write("smiles,y\n" + "\n".join(rows) + "\n"), "y", **options)
    assert data.task == task
    assert data.labelled.tolist() == [*range(len(MISSING), len(rows))]
    given = data.graphs.labels.flatten()[len(MISSING) :].tolist()
    assert given == pytest.approx([*expected, *expected])
    warned = "mine.csv: #N/A, #N/A N/A, #NA, -1.#IND, -1.#QNAN, -NaN, -nan, 1.#IND, 1.#QNAN, <NA>, N/A, NA, "
    warned += (
        "NAN, NULL, NaN, None, n/a, nan, null in the column y: taken for missing labels, not for a class"
    )
    assert (warned in caplog.text) == (task == "multiclass")


def test_true_and_false_in_several_columns(write: Callable[..., Path]) -> None:
    y, z = ["True", "false", "NA", "TRUE", "1", "", "0"], ["0", "1", "1", "None", "False", "true", "0"]
    data = load(write(table(y=y, z=z)), "y", "z")
    assert (data.task, data.labelled.tolist()) == ("multilabel", [0, 1, 2, 3, 4, 5, 6])
    nan = float("nan")
    rows = [[1, 0], [0, 1], [nan, 1], [1, nan], [1, 0], [nan, 1], [0, 0]]
    torch.testing.assert_close(data.graphs.labels, torch.tensor(rows), equal_nan=True)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            {"a": "1010101", "b": "-------"},
            {},
            "has no labels in the column b; choose targets that have some",
        ),
        ({"a": "1010101", "b": "-------", "c": "-------"}, {}, "has no labels in the columns b, c; choose"),
        ({"a": "1010101", "b": "11-1111"}, {}, "all labels in the column b are 1; a multilabel task needs 0"),
        ({"a": "0000000", "b": "0101010", "c": "-0-----"}, {}, "all labels in the columns a, c are 0; a mul"),
        ({"a": "1234567", "b": "-------"}, {"task": "regression"}, "has no labels in the column b; choose"),
        ({"a": "-------"}, {"task": "regression"}, "has no labels in the column a"),
        ({"a": "-------"}, {"task": "binary"}, "has no labels in the column a"),
        ({"a": "-------"}, {"task": "multiclass"}, "has no labels in the column a; a multiclass task needs"),
        ({"a": "TTTTTTT"}, {}, "all labels in the column a are 1; a binary task needs 0 and 1"),
        (
            {"a": "1101-11", "b": "1010101"},
            {"broken": 2},
            "all labels of molecules that RDKit can read in th",
        ),
        (
            {"a": "1------", "b": "1010101"},
            {"broken": 0, "task": "regression"},
            "has no labels of molecules that RDKit can read in",
        ),
    ],
)
def test_targets_from_which_nothing_can_be_learnt(
    write: Callable[..., Path], columns: dict[str, str], options: dict[str, object], message: str
) -> None:
    words = {"-": "NA", "T": "True"}
    cells = {name: [words.get(cell, cell) for cell in column] for name, column in columns.items()}
    text = table(**cells)
    if (broken := options.pop("broken", None)) is not None:
        text = text.replace(f"\n{SMILES[broken]},", "\nC(C,")
    with pytest.raises(DataError) as caught:
        load(write(text), *columns, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_classes_that_are_numbers_keep_their_order(write: Callable[..., Path]) -> None:
    file = write(table(y=["10", "9", "-1", "9.0", "10", "9", "-1"]))
    data = load(file, "y", task="multiclass")
    assert (data.graphs.labels.tolist(), data.out_size) == ([2, 1, 0, 1, 2, 1, 0], 3)


def test_classes_are_told_apart_as_they_are_written(write: Callable[..., Path]) -> None:
    large = ["9007199254740993", "9007199254740992"]
    words = load(write(table(y=["1_1", "11", *large, "1_1", "11", large[0]])), "y", task="multiclass")
    assert words.graphs.labels.tolist() == [1, 0, 3, 2, 1, 0, 3]
    assert words.output_names == ("11", "1_1", large[1], large[0])
    cells = [large[0], "1", large[1], " 1.0 ", "-2e0", large[1], large[0]]
    numbers = load(write(table(y=cells)), "y", task="multiclass")
    assert numbers.graphs.labels.tolist() == [3, 1, 2, 1, 0, 2, 3]
    assert numbers.output_names == ("-2", "1", large[1], large[0])
    cells = ["0.10", "1e-5", "0.1", "1e20", "inf", "100000000000000000000", "1e99999999999"]
    numbers = load(write(table(y=cells)), "y", task="multiclass")
    assert numbers.graphs.labels.tolist() == [1, 0, 1, 2, 4, 2, 3]
    assert numbers.output_names == ("1e-05", "0.1", "1e20", "1e99999999999", "inf")


def test_splits(write: Callable[..., Path]) -> None:
    part = ["train", "Valid", "test", "validation", "VAL", "train", "test"]
    file = write(table(y=["1.5", "2", "3", "4", "5", "", "7"], part=part))
    data = load(file, "y", split_column="part")
    assert {name: numbers.tolist() for name, numbers in data.splits.items()} == {
        "train": [0],
        "val": [1, 3, 4],
        "test": [2, 6],
    }
    text = file.read_text().replace("c1ccccc1", "c1ccc")
    shifted = load(write(text), "y", split_column="part")
    assert shifted.splits["test"].tolist() == [1, 5]


def test_the_targets_do_not_change_the_graphs(write: Callable[..., Path], tmp_path: Path) -> None:
    file = write(table(y=["1.5", "", "", "", "5", "6", "7"], z=list("0101011")))
    cache = preprocess_graphs(load(file).graphs, tmp_path / "mine.h5", n_jobs=1)
    for targets in (["y"], ["z"], ["y", "z"]):
        assert load(file, *targets).graphs.with_cache(cache).distances is not None
    assert load(file).graphs.labels is None


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        ("1 0 1 0 nan 1 1", "binary"),
        ("1.0 0 1 0 1 1 1", "binary"),
        ("1 0 2 0.5 1 1 1", "regression"),
        ("a b a b a b a", "multiclass"),
    ],
)
def test_a_task_that_labels_tell(write: Callable[..., Path], labels: str, task: str) -> None:
    assert load(write(table(y=labels.split())), "y").task == task


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ("1 2 3 1 2 3 1", {}, "the column y do not tell the task; say --task regression, binary, "),
        ("1 2 x 1 2 3 1", {}, "do not tell the task (line 4 has 'x' among numbers"),
        ("1 1 nan 1 1 1 1", {}, "all labels in the column y are 1; a binary task needs 0 and 1"),
        ("nan " * 7, {}, "has no labels in the column y"),
        (
            "1.5 2 x 1 2 3 1",
            {"task": "regression"},
            "line 4: the label 'x' in the column y is no finite number",
        ),
        ("1.5 2 1_5 1 2 3 1", {"task": "regression"}, "line 4: the label '1_5' in the column y is no finite"),
        ("1.5 2 1_5 1 2 3 1", {}, "do not tell the task (line 4 has '1_5' among numbers"),
        ("1.5 2 3 inf 2 3 1", {}, "line 5: the label 'inf' in the column y is no finite number"),
        ("1e39 2 3 1 2 3 0.5", {}, "line 2: the label '1e39' in the column y is no finite number"),
        ("1 0 1 0 1 0 2", {"task": "binary"}, "line 8: the label '2' in the column y is neither 0 nor 1"),
        ("a a a a a a a", {}, "has 1 class in the column y; a multiclass task needs two"),
        ("a b c d nan f g", {}, "no label in the column y occurs twice; these are no classes to learn"),
        (
            "1 0 1 0 1 0 2",
            {"split_column": "y", "task": "regression"},
            "line 2: '1' in the column y is none of",
        ),
    ],
)
def test_wrong_labels(write: Callable[..., Path], labels: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        load(write(table(y=labels.split())), "y", **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; its first line has to name the columns"),
        ("\n\n", "is empty; its first line has to name the columns"),
        ("smiles,y\n", "has no rows below its header"),
        ("molecule,y\nC,1\n", "has no column 'smiles'; choose --smiles-column from molecule, y"),
        ("Smiles,SMILES,y\nC,C,1\n", "has 2 columns 'smiles'; choose --smiles-column from Smiles, SMILES, y"),
        ("smiles,x\nC,1\n", "has no column 'y'; its columns are smiles, x"),
        ("smiles,y,y\nC,1,2\n", "has several columns 'y'"),
        ("smiles,y\nC,1\nCC,1,2\n", "line 3: 3 cells, but the header has 2"),
        ('smiles,y\nC,1\n"CC,1\n', "line 3: 1 cell, but the header has 2; put text with commas in quotes,"),
        ("smiles;y\nC;1,5\n", "semicolons separate its cells; save it with commas between them"),
        ("smiles\ty\nC\t1\n", "tabs separate its cells"),
        ("smiles,y\nC1CC,1.5\nC(C,2\n", "RDKit cannot read any of the 2 molecules (line 2: 'C1CC')"),
        ("smiles,y\nC,\xe9\n".encode("latin-1"), "is not UTF-8 text"),
        ("smiles,y\nC," + "9" * 140000, "cannot be read as CSV (field larger than field limit"),
    ],
)
def test_broken_files(write: Callable[..., Path], text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        load(write(text), "y", task="regression")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_cut_off_files(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*none\.csv"):
        load(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv cannot be read as CSV \(Is a directory\)"):
        load(tmp_path / "folder.csv")
    file = write("smiles\n" + "C\n" * 99, "cut.csv.gz")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cut\.csv\.gz cannot be read as CSV"):
        load(file)
    file.write_text("smiles\nC\n")
    with pytest.raises(DataError, match=r"cut\.csv\.gz cannot be read as CSV \(Not a gzipped file"):
        load(file)


def test_a_file_in_the_data_folder(write: Callable[..., Path]) -> None:
    file = write("smiles\nC\n")
    assert len(load_dataset("mine.csv", file.parent)) == 1


def test_many_rows_keep_their_labels(write: Callable[..., Path]) -> None:
    """Rows of the standard library's writer against RDKit's own count of atoms, some of them broken."""
    draw = random.Random(3)
    rows = [("C" * draw.randint(1, 30), "") for _ in range(500)]
    rows = [(smiles + draw.choice(["", "", "(", "O"]), f"note, {n}") for n, (smiles, _) in enumerate(rows)]
    file = write("")
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["note", "SMILES", "y"])
        writer.writerows((note, smiles, len(smiles) + 0.5) for smiles, note in rows)
    data = load(file, "y")
    readable = [smiles for smiles, _ in rows if not smiles.endswith("(")]
    assert data.graphs.node_counts.tolist() == [Chem.MolFromSmiles(one).GetNumAtoms() for one in readable]
    assert data.graphs.labels.flatten().tolist() == [len(one) + 0.5 for one in readable]
