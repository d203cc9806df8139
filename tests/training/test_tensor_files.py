import hashlib
import json
import os
import re
import stat

import pytest
import torch
from safetensors.torch import save_file

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


def sealed(file):
    """Return a small file, and its bytes with zeros in the place of the digest."""
    save_tensors(file, {"a": torch.arange(5.0), "b": torch.ones(2, 3)}, {"epoch": 3})
    content = file.read_bytes()
    before, digest, after = re.split(rb'(?<=sha256\\": \\")([0-9a-f]{64})(?=\\")', content)
    return content, digest.decode(), before + b"0" * 64 + after


def test_a_file_holds_its_sha256(tmp_path):
    _, digest, blank = sealed(tmp_path / "x.safetensors")
    assert digest == hashlib.sha256(blank).hexdigest()


def test_every_bit_that_changes_is_found(tmp_path):
    file = tmp_path / "x.safetensors"
    content, _, _ = sealed(file)
    for place in range(len(content)):
        wrong = bytearray(content)
        wrong[place] ^= 1 << place % 8
        file.write_bytes(wrong)
        with pytest.raises(RunError, match=r"x\.safetensors is broken \(.*\): train the run again"):
            load_tensors(file)
    file.write_bytes(content + b"\0")
    with pytest.raises(RunError, match="is broken"):
        load_tensors(file)
    file.write_bytes(content)
    assert load_tensors(file)[1]["epoch"] == 3


def test_a_file_of_an_older_version_has_no_digest(tmp_path):
    file = tmp_path / "x.safetensors"
    save_file({"a": torch.arange(5)}, file, metadata={"facts": json.dumps({"epoch": 3})})
    tensors, facts = load_tensors(file)
    assert tensors["a"].tolist() == [0, 1, 2, 3, 4]
    assert facts == {"epoch": 3}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_a_file_can_be_read_by_whom_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save_tensors(tmp_path / "x.safetensors", {"a": torch.ones(3)}, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.safetensors").stat().st_mode) == mode
