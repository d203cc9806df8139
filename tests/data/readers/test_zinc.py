import csv
from pathlib import Path

import dgl
import numpy as np
import pytest
import torch
from dgl.data.utils import save_graphs

from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.readers.zinc import read_zinc
from gradformer_dgl.support.errors import DataError

SIZES = {"train": 3, "val": 2, "test": 1}


def arrays() -> dict[str, np.ndarray]:
    """Paths of two bonds, with the split's number in types and targets."""
    made = {}
    for number, (split, size) in enumerate(SIZES.items()):
        made[f"{split}_num_nodes"] = np.full(size, 3, dtype=np.uint8)
        made[f"{split}_num_edges"] = np.full(size, 2, dtype=np.uint8)
        made[f"{split}_atom_type"] = np.tile(np.array([number, 27, 5], dtype=np.uint8), size)
        made[f"{split}_edges"] = np.tile(np.array([[0, 1], [1, 2]], dtype=np.uint8), (size, 1))
        made[f"{split}_bond_type"] = np.tile(np.array([1, number + 1], dtype=np.uint8), size)
        made[f"{split}_target"] = number + np.arange(size, dtype=np.float32) / 10
    return made


def write(root: Path, **changed: np.ndarray | None) -> Path:
    folder = root / "ZINC12k"
    folder.mkdir()
    kept = {key: value for key, value in (arrays() | changed).items() if value is not None}
    np.savez(folder / "graphs.npz", **kept)
    return folder


def check(root: Path, name: str) -> None:
    data = load_dataset(name, root)
    assert (data.name, data.task, data.level, data.out_size) == ("ZINC", "regression", "graph", 1)
    assert (data.node_encoder, data.node_size) == ("embedding", 28)
    assert (data.edge_encoder, data.edge_size) == ("embedding", 4)
    assert {split: part.tolist() for split, part in data.splits.items()} == {
        "train": [0, 1, 2],
        "val": [3, 4],
        "test": [5],
    }
    batch = data.graphs.batch([4])
    edges = torch.stack([*batch.graph.edges(), batch.edge_features], dim=1)
    assert sorted(map(tuple, edges.tolist())) == [
        (0, 1, 1),
        (1, 0, 1),
        (1, 2, 2),
        (2, 1, 2),
    ]
    assert batch.node_features.tolist() == [1, 27, 5]
    assert data.graphs.labels.flatten().tolist() == pytest.approx([0, 0.1, 0.2, 1, 1.1, 2])


@pytest.mark.parametrize("name", ["ZINC", "zinc", "ZINC12k", "zinc12K"])
def test_packed_files_are_read(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    check(tmp_path, name)


def test_published_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = arrays()
    # The folder in which DGL unpacks what it downloads is named after the address.
    folder = Path(dgl.data.zinc.ZINCDataset.raw_path.fget(_Named(tmp_path)))
    folder.mkdir()
    for split, mode in (("train", "train"), ("val", "valid"), ("test", "test")):
        graphs = []
        for number in range(SIZES[split]):
            ends = made[f"{split}_edges"][2 * number : 2 * number + 2].astype(np.int64)
            graph = dgl.graph((ends.ravel(), ends[:, ::-1].ravel()))
            graph.ndata["feat"] = torch.from_numpy(made[f"{split}_atom_type"][:3].astype(np.int64))
            graph.edata["feat"] = torch.from_numpy(made[f"{split}_bond_type"][:2].astype(np.int64).repeat(2))
            graphs.append(graph)
        targets = torch.from_numpy(made[f"{split}_target"])
        save_graphs(str(folder / f"ZincDGL_{mode}.bin"), graphs, {"g_label": targets})
    check(tmp_path, "ZINC")


class _Named(dgl.data.zinc.ZINCDataset):
    """A ZINCDataset that only knows where its files lie."""

    def __init__(self, root: Path) -> None:
        self._url = dgl.data.utils._get_dgl_url("dataset/ZINC12k.zip")
        self._name = "zinc"
        self._raw_dir = str(root)


def test_without_files_and_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(self: object) -> None:
        raise RuntimeError("Failed downloading url\nsome more")

    monkeypatch.setattr(dgl.data.zinc.ZINCDataset, "download", offline)
    with pytest.raises(
        DataError, match=r"cannot be downloaded \(Failed downloading url some more\); put ZINC12k"
    ):
        read_zinc("ZINC", tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"val_edges": None}, "graphs.npz has no array val_edges"),
        ({"val_num_nodes": np.array([3, 2])}, "graphs.npz: .*"),
        ({"val_num_edges": np.array([3, 2])}, "graphs.npz: .*add up"),
        ({"val_atom_type": np.array([0, 1, 28, 0, 1, 2])}, "has the atom_type 28, but there are 28"),
        ({"val_bond_type": np.array([0, 1, -1, 0])}, "has the bond_type -1, but there are 4"),
        ({"val_target": np.array([0.5])}, "graphs.npz: labels must have 6 rows"),
        ({"val_target": np.array([object()] * 2)}, "graphs.npz cannot be read .*allow_pickle"),
    ],
)
def test_broken_arrays_are_refused(tmp_path: Path, changed: dict, message: str) -> None:
    write(tmp_path, **changed)
    with pytest.raises(DataError, match=message) as caught:
        read_zinc("ZINC", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (write(tmp_path) / "graphs.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"graphs.npz cannot be read"):
        read_zinc("ZINC", tmp_path)


def test_tables_beside_it_must_have_as_many_molecules(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "val.csv").write_text("smiles,target\nCCO,0.5\n")
    with pytest.raises(DataError, match=r"val\.csv has 1 molecules, but graphs.npz beside it has 2"):
        read_zinc("ZINC", tmp_path)


def test_counts_and_targets_of_the_real_files(data_root: Path) -> None:
    data = load_dataset("ZINC", data_root)
    assert {split: len(part) for split, part in data.splits.items()} == {
        "train": 10000,
        "val": 1000,
        "test": 1000,
    }
    assert data.graphs.num_edges == 2 * (249660 + 24846 + 24860)
    with (data_root / "ZINC12k" / "test.csv").open(newline="") as lines:
        targets = [float(row["target"]) for row in csv.DictReader(lines)]
    assert data.graphs.labels[data.splits["test"], 0].tolist() == pytest.approx(targets, abs=1e-5)
    test = data.graphs.labels[data.splits["test"]]
    assert test.mean().item() == pytest.approx(0.0124, abs=1e-4)
    batch = data.graphs.batch(data.splits["val"][:13])
    src, dst = batch.graph.edges()
    assert batch.graph.has_edges_between(dst, src).all()
