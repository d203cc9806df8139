"""Ctrl-C at any moment ends a command in one line."""

import subprocess
import sys

import pytest

# Interrupts itself at the moment when a module is looked for: no clock decides what is tested.
BEGIN = """
import os, signal, sys

moment = sys.argv.pop(1)

class Finger:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.{sent})

signal.signal(signal.SIGINT, signal.{handler})
sys.meta_path.insert(0, Finger())
from gradformer_dgl.__main__ import main
main()
"""
SWALLOWED = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.125)  # not a multiple of the time after which it is tried again
except BaseException:
    pass
"""


def interrupted(module, *arguments, handler="default_int_handler", sent="SIGINT", **options):
    code = BEGIN.format(handler=handler, sent=sent)
    return subprocess.run(
        [sys.executable, "-c", code, module, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.mark.parametrize(
    "module",
    ["gradformer_dgl.cli", "click", "gradformer_dgl.cli.info", "h5py", "gradformer_dgl.cache.reader"],
)
def test_amid_the_imports_of_a_command(module, tmp_path):
    done = interrupted(module, "info", tmp_path / "none.h5")
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "Error: interrupted")


def test_amid_an_import_that_swallows_exceptions(tmp_path):
    (tmp_path / "swallows.py").write_text(SWALLOWED)
    (tmp_path / "mine.py").write_text(
        "import os, time\n\n\ndef make_dataset():\n"
        "    import swallows\n    os.write(1, b'imported\\n')\n    time.sleep(100)\n"
    )
    done = interrupted("nothing", "preprocess", "mine:make_dataset", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "imported\n", "Error: interrupted")
    assert not list(tmp_path.rglob("*.h5*"))


def test_who_ignores_it_is_left_alone(tmp_path):
    done = interrupted("h5py", "info", tmp_path / "none.h5", handler="SIG_IGN")
    assert done.returncode == 1
    assert "none.h5" in done.stderr


@pytest.mark.parametrize(
    ("sent", "status", "said"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")]
)
def test_before_the_first_epoch_of_a_training(raw, cached, tmp_path, sent, status, said):
    data = ("SHAPES", "--data-root", raw, "--cache-dir", cached.parent)
    module = "torch.utils.tensorboard.writer"
    done = interrupted(module, "train", *data, "--device", "cpu", cwd=tmp_path, sent=sent)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (status, "", f"Error: {said}")
    # It was looked for when there was a run folder already.
    assert list((tmp_path / "runs").iterdir()) == []
