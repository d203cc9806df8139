import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gradformer_dgl.data import dataset_names, load_dataset
from gradformer_dgl.data.catalog import catalog
from gradformer_dgl.data.readers.registry import DatasetEntry
from gradformer_dgl.support.errors import DataError


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NCI2", "there is no data set 'NCI2'; did you mean NCI1"),
        ("MUTAGG", "did you mean MUTAG"),
        ("PROTEIN", "did you mean PROTEINS"),
        ("enzime", "did you mean ENZYMES"),
        ("Zink", "did you mean ZINC"),
        ("../secrets", "there is no data set '../secrets'; choose one of NCI1, "),
        ("", "there is no data set ''; choose one of NCI1, "),
    ],
)
def test_a_wrong_name_gets_suggestions_and_no_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setenv("GRADFORMER_DGL_TU_URL", "nothing is asked of {name}")
    with pytest.raises(DataError) as caught:
        load_dataset(name, tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sets/TINY", "'sets/TINY' is a folder, .* by the name TINY with --data-root sets$"),
        ("sets", r"'sets' is a folder, .* by the name sets with --data-root \.$"),
        ("graphs.tsv", "'graphs.tsv' is a file, but no CSV file .* MODULE:FUNCTION"),
        ("sets/graphs.tsv", "'sets/graphs.tsv' is a file, but no CSV file"),
    ],
)
def test_a_path_in_place_of_a_name(
    write_tu: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    root = write_tu("sets/TINY")
    for file in (root / "graphs.tsv", root / "sets" / "graphs.tsv"):
        file.write_text("a\tb\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("GRADFORMER_DGL_TU_URL", "nothing is asked of {name}")
    with pytest.raises(DataError, match=message):
        load_dataset(name)
    with pytest.raises(DataError, match=message):
        load_dataset(name, "elsewhere")
    assert len(load_dataset("TINY", "sets")) == 3


def test_names_are_found_in_any_case(data_root: Path) -> None:
    assert load_dataset("mutag", data_root).name == "MUTAG"


def test_a_set_of_ones_own_is_read_by_name(write_tu: Callable[..., Path]) -> None:
    data = load_dataset("TINY", write_tu(), use_node_attributes=False)
    assert (data.name, len(data)) == ("TINY", 3)


ELSEWHERE = ("COLLAB", "NCI-TPSA", "ogbg-molhiv", "ogbn-arxiv", "Cora", "Citeseer", "Pubmed")
QUICK = [entry for entry in catalog() if entry.name not in ELSEWHERE]


@pytest.mark.parametrize("entry", QUICK, ids=lambda entry: entry.name)
def test_the_catalogue_says_how_many_graphs_there_are(data_root: Path, entry: DatasetEntry) -> None:
    assert len(load_dataset(entry.name, data_root)) == entry.graphs


@pytest.mark.parametrize("name", ["NCI-TPSA", "TINY"])
def test_an_option_that_a_data_set_does_not_take(write_tu: Callable[..., Path], name: str) -> None:
    with pytest.raises(DataError, match=f"{name} takes no target columns: leave that option out"):
        load_dataset(name, write_tu(), target_columns=["y"])
    assert len(load_dataset("TINY", write_tu(), jobs=2)) == 3


def test_names_are_listed_without_loading_torch() -> None:
    assert dataset_names()[:2] == ("NCI1", "PROTEINS")
    heavy = "torch", "dgl", "rdkit", "ogb", "numba"
    code = (
        "import sys; from gradformer_dgl.data import dataset_names; dataset_names(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
