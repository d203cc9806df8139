import builtins
import logging
from pathlib import Path

import numpy as np
import pytest

from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.catalog import catalog
from gradformer_dgl.data.molecules import ATOM_COLUMNS, BOND_COLUMNS, pack_molecules
from gradformer_dgl.data.nci import read_nci
from gradformer_dgl.errors import DataError

Chem = pytest.importorskip("rdkit.Chem", reason="RDKit is not installed")


def meaning(columns: tuple, codes: list[int]) -> dict[str, object]:
    return {
        column.name: column.values[code] if code < len(column.values) else "other"
        for column, code in zip(columns, codes, strict=True)
    }


def test_atoms_and_bonds_of_a_molecule_by_hand() -> None:
    packed, unreadable = pack_molecules(["C[N+](C)(C)Cc1cc[nH]c1", "[U]=O"])
    assert unreadable == []
    atoms = [meaning(ATOM_COLUMNS, codes) for codes in packed.node_features.tolist()]
    assert atoms[1] == {
        "element": "N",
        "degree": 4,
        "charge": 1,
        "hydrogens": 0,
        "hybridization": "SP3",
        "aromatic": False,
        "ring": False,
    }
    assert (atoms[8]["element"], atoms[8]["hydrogens"], atoms[8]["aromatic"]) == ("N", 1, True)
    assert atoms[10]["element"] == "other"
    bonds = [meaning(BOND_COLUMNS, codes) for codes in packed.edge_features.tolist()]
    assert bonds[0] == bonds[1] == {"type": "SINGLE", "conjugated": False, "ring": False}
    assert bonds[-1]["type"] == "DOUBLE"
    assert sum(bond["type"] == "AROMATIC" for bond in bonds) == 10


def test_bonds_are_those_of_rdkit_in_both_directions() -> None:
    smiles = ["CCO", "C", "c1ccccc1C(=O)O", "[Na+].[Cl-]"]
    packed, _ = pack_molecules(smiles)
    assert packed.node_counts.tolist() == [3, 1, 9, 2]
    for number, text in enumerate(smiles):
        graph = packed.batch([number]).graph
        expected = Chem.GetAdjacencyMatrix(Chem.MolFromSmiles(text))
        adjacency = np.zeros_like(expected)
        np.add.at(adjacency, tuple(ends.numpy() for ends in graph.edges()), 1)
        assert np.array_equal(adjacency, expected)


def test_unreadable_molecules_are_left_out_and_named() -> None:
    packed, unreadable = pack_molecules(["CCO", "C(C", "", "CN(C)(C)(C)C"])
    assert unreadable == [1, 3]
    assert packed.node_counts.tolist() == [3, 0]
    nothing, unreadable = pack_molecules(["C(C"])
    assert (len(nothing), unreadable) == (0, [0])


def test_the_built_in_molecules(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="gradformer_dgl"):
        data = load_dataset("nci-tpsa")
    assert len(data) == next(entry.graphs for entry in catalog() if entry.name == "NCI-TPSA")
    assert "RDKit cannot read 8 molecules (lines 2098, 2898," in caplog.text
    assert data.graphs.labels.shape == (4991, 1)
    # Ertl's contributions count nitrogen and oxygen: RDKit's own sum agrees where there are no others.
    from rdkit.Chem.rdMolDescriptors import CalcTPSA

    for number, smiles in enumerate(["CC1=CC(=O)C=CC1=O", "S(SC1=NC2=CC=CC=C2S1)C3=NC4=C(S3)C=CC=C4"]):
        assert data.graphs.labels[number].item() == pytest.approx(
            CalcTPSA(Chem.MolFromSmiles(smiles)), abs=0.01
        )
    assert all(
        int(data.graphs.node_features[:, column].max()) < size for column, size in enumerate(data.node_size)
    )
    assert data.splits is None


def write(folder: Path, smiles: str, targets: str) -> Path:
    (folder / "first_5K.smi").write_text(smiles)
    (folder / "first_5k.tpsa.csv").write_text("# where from\n" + targets)
    return folder


def test_labels_stay_with_their_molecules(tmp_path: Path) -> None:
    write(tmp_path, "CCO\t1\nC(C\t2\nC\t5\n", "CCO,20.5\nC(C,3\nC,0.5\n")
    assert read_nci(folder=tmp_path).graphs.labels.flatten().tolist() == [20.5, 0.5]


@pytest.mark.parametrize(
    ("smiles", "targets", "message"),
    [
        ("CCO\t1\n", "CCO,1\nC,2\n", "has 1 molecules, but .*tpsa.csv has 2; install RDKit again"),
        ("CCO\t1\nC\t2\n", "CCO,1\nN,2\n", "tpsa.csv, line 3: not the molecule of first_5K.smi, line 2"),
        ("CCO\t1\n", "CCO,many\n", "tpsa.csv, line 2: 'many' is no number"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path: Path, smiles: str, targets: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_nci(folder=write(tmp_path, smiles, targets))


def test_missing_files_and_missing_rdkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"first_5K.smi cannot be read .*pip install rdkit"):
        read_nci(folder=tmp_path)
    imported = builtins.__import__

    def without_rdkit(name: str, *args: object, **options: object) -> object:
        if name.split(".")[0] == "rdkit":
            raise ImportError(name)
        return imported(name, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_rdkit)
    with pytest.raises(DataError, match=r"need RDKit: pip install gradformer-dgl\[chem\]"):
        pack_molecules(["C"])
    with pytest.raises(DataError, match=r"need RDKit: pip install gradformer-dgl\[chem\]"):
        load_dataset("NCI-TPSA")
