"""Files that are whole or not there."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gradformer_dgl.support.atomic_write import drafted, remove_drafts, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def run(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def umask():
    """Return a function that sets the umask until the test ends."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize(
    "content", ["one\r\ntwo\n", b"one\r\ntwo\n", lambda draft: draft.write_bytes(b"one\r\ntwo\n")]
)
def test_text_bytes_and_functions(tmp_path, content, durable):
    file = tmp_path / "notes.txt"
    file.write_text("old")
    write_atomically(file, content, durable)
    assert file.read_bytes() == b"one\r\ntwo\n"
    assert names(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_keeps_the_existing_file_and_leaves_no_draft(tmp_path, error):
    file = tmp_path / "notes.txt"
    file.write_text("old")

    def half(draft):
        draft.write_text("half")
        raise error

    with pytest.raises(error):
        write_atomically(file, half)
    assert file.read_text() == "old"
    assert names(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_mode_is_what_the_umask_says(tmp_path, umask, mask):
    umask(mask)
    file = tmp_path / "x"
    for content in ("text", lambda draft: save_file({"a": np.zeros(3)}, draft)):
        write_atomically(file, content)
        assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "x", "text")


def test_two_drafts_of_one_file_do_not_meet(tmp_path):
    file = tmp_path / "x"
    with drafted(file) as first, drafted(file) as second:
        first.write_text("first")
        second.write_text("second")
    assert file.read_text() == "first"
    assert names(tmp_path) == ["x"]


def test_a_full_disk_keeps_the_existing_file_and_leaves_no_draft(tmp_path):
    file = tmp_path / "x"
    file.write_text("old")
    code = """
        import resource, sys
        from pathlib import Path
        from gradformer_dgl.support.atomic_write import write_atomically
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_atomically(Path(sys.argv[1]), b"x" * 1001)
        except OSError as error:
            print(error.strerror)
    """
    with run(code, file) as process:
        assert process.stdout.read() == "File too large\n"
    assert file.read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_a_process_that_is_killed_keeps_the_existing_file_and_its_draft_is_removed_later(tmp_path):
    file = tmp_path / "x"
    file.write_text("old")
    code = """
        import sys, time
        from pathlib import Path
        from gradformer_dgl.support.atomic_write import drafted
        with drafted(Path(sys.argv[1])) as draft:
            draft.write_text("half")
            print("half", flush=True)
            time.sleep(600)
    """
    with run(code, file) as process:
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    assert file.read_text() == "old"
    assert len(names(tmp_path)) == 2
    (tmp_path / ".mine.tmp").touch()
    remove_drafts(tmp_path)
    assert names(tmp_path) == [".mine.tmp", "x"]
