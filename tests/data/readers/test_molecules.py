import builtins
import csv
import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.catalog import catalog
from gradformer_dgl.data.readers import molecule_graphs as molecules_module
from gradformer_dgl.data.readers.molecule_features import BASIC, OGB
from gradformer_dgl.data.readers.molecule_graphs import pack_molecules
from gradformer_dgl.data.readers.nci_tpsa import read_nci_tpsa
from gradformer_dgl.nn.encoders import OGB_ATOM_SIZES, OGB_BOND_SIZES
from gradformer_dgl.support.errors import DataError

Chem = pytest.importorskip("rdkit.Chem", reason="RDKit is not installed")


def meaning(columns: tuple, codes: list[int]) -> dict[str, object]:
    return {
        column.name: column.values[code] if code < len(column.values) else "other"
        for column, code in zip(columns, codes, strict=True)
    }


def test_atoms_and_bonds_of_a_molecule_by_hand() -> None:
    packed, unreadable, _ = pack_molecules(["C[N+](C)(C)Cc1cc[nH]c1", "[U]=O"])
    assert unreadable == []
    atoms = [meaning(BASIC.atoms, codes) for codes in packed.node_features.tolist()]
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
    bonds = [meaning(BASIC.bonds, codes) for codes in packed.edge_features.tolist()]
    assert bonds[0] == bonds[1] == {"type": "SINGLE", "conjugated": False, "ring": False}
    assert bonds[-1]["type"] == "DOUBLE"
    assert sum(bond["type"] == "AROMATIC" for bond in bonds) == 10


def test_bonds_are_those_of_rdkit_in_both_directions() -> None:
    smiles = ["CCO", "C", "c1ccccc1C(=O)O", "[Na+].[Cl-]"]
    packed = pack_molecules(smiles).graphs
    assert packed.node_counts.tolist() == [3, 1, 9, 2]
    for number, text in enumerate(smiles):
        graph = packed.batch([number]).graph
        expected = Chem.GetAdjacencyMatrix(Chem.MolFromSmiles(text))
        adjacency = np.zeros_like(expected)
        np.add.at(adjacency, tuple(ends.numpy() for ends in graph.edges()), 1)
        assert np.array_equal(adjacency, expected)


def test_unreadable_molecules_are_left_out_and_named() -> None:
    packed, unreadable, unsanitized = pack_molecules(["CCO", "C(C", "", "CN(C)(C)(C)C", "C"])
    assert (unreadable, unsanitized) == ([1, 2, 3], [])
    assert packed.node_counts.tolist() == [3, 1]
    nothing, unreadable, _ = pack_molecules(["C(C"])
    assert (len(nothing), unreadable) == (0, [0])
    nothing, unreadable, _ = pack_molecules([])
    assert (len(nothing), unreadable) == (0, [])


def test_the_features_of_ogb_are_those_of_ogb() -> None:
    """The file was written by ``ogb.utils.smiles2graph`` of ogb 1.3.6."""
    expected = json.loads((Path(__file__).parent / "ogb_features.json").read_text())
    packed = pack_molecules(list(expected), OGB).graphs
    assert (OGB.atom_sizes, OGB.bond_sizes) == (OGB_ATOM_SIZES, OGB_BOND_SIZES)
    for number, molecule in enumerate(expected.values()):
        batch = packed.batch([number])
        assert batch.node_features.tolist() == molecule["atoms"]
        assert torch.stack(batch.graph.edges(), dim=1).tolist() == molecule["edges"]
        assert batch.edge_features.tolist() == molecule["bonds"]


def test_the_features_of_ogb_where_it_is_installed(data_root: Path) -> None:
    smiles2graph = pytest.importorskip("ogb.utils", reason="ogb is not installed").smiles2graph
    with gzip.open(data_root / "molhiv" / "molhiv.csv.gz", "rt") as file:
        smiles = [row["smiles"] for row in csv.DictReader(file)][200:900]
    packed = pack_molecules(smiles, OGB).graphs
    for number, text in enumerate(smiles):
        batch, expected = packed.batch([number]), smiles2graph(text)
        assert np.array_equal(batch.node_features, expected["node_feat"])
        assert np.array_equal(batch.edge_features, expected["edge_feat"])
        assert np.array_equal(torch.stack(batch.graph.edges()), expected["edge_index"])


def test_a_molecule_that_is_no_valid_one_is_read_without_the_checks() -> None:
    """Boron with too many bonds between a benzene ring and an ethanolamine; a ring of no Kekulé structure."""
    smiles = ["CCO", "c1ccccc1[B-2]2(C)=NCCO2", "c1ccccc1", "C(C", "c1cccc1C"]
    packed, unreadable, unsanitized = pack_molecules(smiles, OGB, accept_invalid=True)
    assert (unreadable, unsanitized) == ([3], [1, 4])
    atoms = [meaning(OGB.atoms, codes) for codes in packed.batch([1]).node_features.tolist()]
    ring = [meaning(OGB.atoms, codes) for codes in packed.batch([2]).node_features.tolist()]
    assert atoms[:5] == ring[:5]
    boron = {"atomic_num": 5, "formal_charge": -2, "degree": 4, "is_in_ring": True, "is_aromatic": False}
    assert {name: atoms[6][name] for name in boron} == boron
    assert pack_molecules(smiles, OGB).unreadable == [1, 3, 4]
    five = [meaning(OGB.atoms, codes) for codes in packed.batch([3]).node_features.tolist()]
    assert [atom["is_in_ring"] for atom in five] == [True] * 5 + [False]


# Carbon with five bonds, oxygen with three, an aromatic ring without Kekulé structure, too many hydrogens, a
# charge beyond the electrons, an element that RDKit has no data of, half a code point.
REFUSED = ("CC(C)(C)(C)C", "CO(C)C", "c1cccc1", "[CH99]", "[C+128]", "[#119]", "C[#120]C", "\ud800")


def test_what_rdkit_refuses_is_not_read() -> None:
    smiles = [text for refused in REFUSED for text in ("CCO", refused)]
    packed, unreadable, unsanitized = pack_molecules(smiles, OGB)
    assert (unreadable, unsanitized) == ([*range(1, len(smiles), 2)], [])
    assert packed.node_counts.tolist() == [3] * len(REFUSED)
    # Without the checks, all that have atoms which RDKit knows.
    packed, unreadable, unsanitized = pack_molecules(smiles, OGB, accept_invalid=True)
    assert (unreadable, unsanitized) == ([11, 13, 15], [1, 3, 5, 7, 9])
    assert packed.node_counts.tolist() == [3, 6, 3, 4, 3, 5, 3, 1, 3, 1, 3, 3, 3]
    assert len(packed.node_features) == packed.num_nodes
    assert pack_molecules(["[#119]"], accept_invalid=True).unreadable == [0]


def test_processes_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(molecules_module, "_CHUNK", 3)
    smiles = ["CCO", "C(C", "c1ccccc1", "C#N", "C1CC", "CN(C)(C)(C)C", "O", "CC"]
    one, several = (pack_molecules(smiles, accept_invalid=True, jobs=jobs) for jobs in (1, 2))
    assert one.unreadable == several.unreadable == [1, 4]
    assert one.unsanitized == several.unsanitized == [5]
    for name in ("node_counts", "src", "dst", "node_features", "edge_features"):
        assert torch.equal(getattr(one.graphs, name), getattr(several.graphs, name))


def test_what_was_read_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(molecules_module, "_FEWEST_KEPT", 2)
    smiles = ["CCO", "C(C", "c1ccccc1"]
    first = pack_molecules(smiles, OGB, keep=True)
    (file,) = (tmp_path / "gradformer_dgl" / "molecules").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(molecules_module, "parse_molecules", None)
        again = pack_molecules(smiles, OGB, keep=True)
    assert again.unreadable == first.unreadable == [1]
    assert torch.equal(again.graphs.node_features, first.graphs.node_features)
    # A file cut off is read anew and mended; other SMILES, features or rules have a file of their own.
    whole = file.read_bytes()
    for broken in (whole[:-50], whole[:100] + b"no zip" * 9 + whole[154:], b""):
        file.write_bytes(broken)
        assert torch.equal(pack_molecules(smiles, OGB, keep=True).graphs.src, first.graphs.src)
    with np.load(file) as archive:
        assert archive["atom_counts"].tolist() == [3, 6]
    for other, features, accept in ((smiles[::-1], OGB, False), (smiles, BASIC, False), (smiles, OGB, True)):
        pack_molecules(other, features, accept_invalid=accept, keep=True)
    assert len(list(file.parent.iterdir())) == 4


def test_a_folder_that_cannot_be_written_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(molecules_module, "_FEWEST_KEPT", 1)
    assert len(pack_molecules(["C"], keep=True).graphs) == 1


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
    assert read_nci_tpsa(folder=tmp_path).graphs.labels.flatten().tolist() == [20.5, 0.5]


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
        read_nci_tpsa(folder=write(tmp_path, smiles, targets))


def test_missing_files_and_missing_rdkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"first_5K.smi cannot be read .*pip install rdkit"):
        read_nci_tpsa(folder=tmp_path)
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
