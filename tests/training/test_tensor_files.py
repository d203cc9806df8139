import os

import pytest
import torch

from gradformer_dgl.support.atomic_write import write_whole
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.tensor_files import load_tensors, save_tensors


def test_tensors_and_facts_come_back(tmp_path):
    tensors = {"a": torch.randn(3, 5), "b.c": torch.arange(7), "empty": torch.zeros(0)}
    save_tensors(tmp_path / "x.safetensors", tensors, {"epoch": 3, "list": [1.5, None]})
    loaded, facts = load_tensors(tmp_path / "x.safetensors")
    assert facts == {"epoch": 3, "list": [1.5, None]}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(RunError, match=r"no x\.safetensors in"):
        load_tensors(tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(RunError, match="is broken"):
        load_tensors(tmp_path / "x.safetensors")


def test_a_truncated_file_is_broken(tmp_path):
    file = tmp_path / "x.safetensors"
    save_tensors(file, {"a": torch.randn(101)}, {})
    file.write_bytes(file.read_bytes()[:-13])
    with pytest.raises(RunError, match="is broken"):
        load_tensors(file)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "result.json"
    write_whole(file, "old")
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(RunError, match="cannot be written: No space left on device"):
        write_whole(file, "new")
    with pytest.raises(RunError, match="cannot be written"):
        save_tensors(file, {"a": torch.ones(3)}, {})
    assert file.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]
