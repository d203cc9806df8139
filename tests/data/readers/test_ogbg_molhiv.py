import csv
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.catalog import catalog
from gradformer_dgl.data.readers import molecule_graphs as molecules_module
from gradformer_dgl.data.readers.smiles_parser import MoleculeArrays
from gradformer_dgl.nn.encoders import OGB_ATOM_SIZES, OGB_BOND_SIZES
from gradformer_dgl.support.errors import DataError
from gradformer_dgl.training.metrics import ROCAUC

Chem = pytest.importorskip("rdkit.Chem", reason="RDKit is not installed")

UNSANITIZED = (137, 987, 12882, 18293, 30784, 30785, 35728)


@pytest.fixture(scope="module")
def rows(data_root: Path) -> list[dict[str, str]]:
    with gzip.open(data_root / "molhiv" / "molhiv.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def one_atom_each(smiles, features, accept_invalid) -> MoleculeArrays:
    none = np.zeros(0, dtype=np.int64)
    return MoleculeArrays(
        np.ones(len(smiles), dtype=np.int64),
        np.zeros(len(smiles), dtype=np.int64),
        np.zeros((0, 2), dtype=np.int32),
        np.zeros((len(smiles), len(features.atoms)), dtype=np.uint8),
        np.zeros((0, len(features.bonds)), dtype=np.uint8),
        none,
        none,
    )


def test_labels_and_splits_of_all_molecules(
    data_root: Path, rows: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(molecules_module, "parse_molecules", one_atom_each)
    data = load_dataset("molhiv", data_root)
    assert data.name == "ogbg-molhiv"
    assert len(data) == len(rows) == next(entry.graphs for entry in catalog() if entry.name == data.name)
    assert data.graphs.labels.flatten().tolist() == [float(row["HIV_active"]) for row in rows]
    assert {part: len(numbers) for part, numbers in data.splits.items()} == {
        "train": 32901,
        "val": 4113,
        "test": 4113,
    }
    for part, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        assert all(rows[number]["split"] == name for number in data.splits[part].tolist())
    positives = {part: int(data.graphs.labels[numbers].sum()) for part, numbers in data.splits.items()}
    assert positives == {"train": 1232, "val": 81, "test": 130}


@pytest.fixture
def some(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Every 500th molecule, and those that RDKit does not sanitize."""
    return [rows[number] for number in sorted({*range(0, len(rows), 500), *UNSANITIZED})]


def test_no_molecule_is_lost(some: list[dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "molhiv").mkdir()
    with gzip.open(tmp_path / "molhiv" / "molhiv.csv.gz", "wt", newline="") as file:
        writer = csv.DictWriter(file, list(some[0]))
        writer.writeheader()
        writer.writerows(some)
    data = load_dataset("ogbg-molhiv", tmp_path)
    assert len(data) == len(some)
    assert int(data.graphs.node_counts.min()) > 1
    # RDKit's checks refuse some; each has the atoms of its SMILES.
    whole = [Chem.MolFromSmiles(row["smiles"], sanitize=False) for row in some]
    assert data.graphs.node_counts.tolist() == [molecule.GetNumHeavyAtoms() for molecule in whole]
    assert data.source.unsanitized
    assert (data.task, data.node_encoder, data.edge_encoder) == ("binary", "ogb", "ogb")
    for features, sizes in (
        (data.graphs.node_features, OGB_ATOM_SIZES),
        (data.graphs.edge_features, OGB_BOND_SIZES),
    ):
        assert features.shape[1] == len(sizes)
        assert (features.amax(0) < torch.tensor(sizes)).all()


def ogb_zip(some: list[dict[str, str]], **replaced: str) -> bytes:
    """The archive that OGB serves, as far as it is read."""
    names = ("train", "valid", "test")
    texts = {"mapping/mol": "HIV_active,smiles,mol_id\n"}
    texts["mapping/mol"] += "".join(
        f"{row['HIV_active']},{row['smiles']},HIV{n}\n" for n, row in enumerate(some)
    )
    for name in names:
        numbers = [number for number, row in enumerate(some) if row["split"] == name]
        texts[f"split/scaffold/{name}"] = "".join(f"{number}\n" for number in numbers)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in (texts | replaced).items():
            archive.writestr(f"hiv/{path}.csv.gz", gzip.compress(text.encode()))
    return buffer.getvalue()


def test_the_files_of_ogb(
    some: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "served.zip").write_bytes(ogb_zip(some))
    monkeypatch.setenv("GRADFORMER_DGL_OGB_URL", (tmp_path / "served.zip").as_uri())
    data = load_dataset("ogbg-molhiv", tmp_path)
    assert (tmp_path / "ogbg_molhiv" / "mapping" / "mol.csv.gz").is_file()
    assert (data.name, len(data)) == ("ogbg-molhiv", len(some))
    assert data.graphs.labels.flatten().tolist() == [float(row["HIV_active"]) for row in some]
    for part, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        expected = [number for number, row in enumerate(some) if row["split"] == name]
        assert data.splits[part].tolist() == expected
    monkeypatch.setenv("GRADFORMER_DGL_OGB_URL", "nothing is asked for twice")
    assert len(load_dataset("molhiv", tmp_path)) == len(some)


def test_broken_files_of_ogb(
    some: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "served.zip"
    monkeypatch.setenv("GRADFORMER_DGL_OGB_URL", served.as_uri())
    with pytest.raises(DataError, match=r"cannot download .*get it by hand and put it at .*hiv\.zip"):
        load_dataset("ogbg-molhiv", tmp_path / "a")
    served.write_bytes(ogb_zip(some, **{"split/scaffold/test": "0\n1\n"}))
    with pytest.raises(DataError, match=f"the splits are not of its {len(some)} molecules"):
        load_dataset("ogbg-molhiv", tmp_path / "b")
    served.write_bytes(ogb_zip(some, **{"split/scaffold/test": "none\n"}))
    with pytest.raises(DataError, match=r"test\.csv\.gz cannot be read"):
        load_dataset("ogbg-molhiv", tmp_path / "c")
    with zipfile.ZipFile(served, "w") as archive:
        archive.writestr("hiv/readme.md", "moved")
    with pytest.raises(DataError, match=r"hiv\.zip cannot be unpacked .*delete it and get it again"):
        load_dataset("ogbg-molhiv", tmp_path / "d")


def test_the_metric_is_that_of_the_evaluator_of_ogb() -> None:
    evaluator = pytest.importorskip("ogb.graphproppred", reason="ogb is not installed").Evaluator(
        "ogbg-molhiv"
    )
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(997, 1, generator=generator).round(decimals=1)
    labels = (torch.rand(997, 1, generator=generator) < 0.04).float()
    expected = evaluator.eval({"y_true": labels.numpy(), "y_pred": logits.numpy()})["rocauc"]
    assert ROCAUC()(logits, labels).item() == pytest.approx(expected, abs=1e-6)
