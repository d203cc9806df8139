"""Help that fits on a screen, names that are completed and guessed, and results for scripts."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from gradformer_dgl.cli import _COMMANDS
from gradformer_dgl.data.catalog import catalog
from gradformer_dgl.models.registry import MODELS
from gradformer_dgl.training.config import all_options, preset_names

SCREEN = (80, 50)
RUN = [sys.executable, "-c", "from gradformer_dgl.cli import main; main()"]


@pytest.fixture
def helped(command, monkeypatch):
    """Return a function that asks a command for help on a narrow terminal."""
    monkeypatch.setenv("COLUMNS", str(SCREEN[0]))

    def ask(*arguments):
        done = command(*arguments)
        assert (done.status, done.err) == (0, "")
        return done.out

    return ask


@pytest.mark.parametrize("name", [None, *_COMMANDS])
def test_help_fits_on_a_screen_and_shows_an_example(helped, name):
    text = helped(*([] if name is None else [name]), "--help")
    lines = text.splitlines()
    assert len(lines) <= SCREEN[1]
    assert max(map(len, lines)) <= SCREEN[0]
    assert "Example: gradformer-dgl " in " ".join(text.split())


@pytest.mark.parametrize("name", [None, *_COMMANDS])
def test_help_waits_for_no_library(name):
    arguments = [*([] if name is None else [name]), "--help"]
    code = (
        "import sys\nfrom gradformer_dgl.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "heavy = ('torch', 'dgl', 'numba', 'h5py', 'scipy', 'rdkit', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_all_settings_are_named_and_explained_on_demand(helped):
    short, long = helped("train", "--help"), helped("train", "--help-all")
    for option in all_options():
        assert re.search(rf"{option.flag}\b", short)
        words = option.help.split()[:3]
        assert " ".join(words).lower() in " ".join(long.split()).lower()
    assert "--target-column" in short
    assert len(long.splitlines()) > 100


@pytest.mark.parametrize(
    ("arguments", "default"),
    [(["preprocess", "MUTAG"], -1), (["train", "MUTAG"], 1), (["tune", "MUTAG"], 1), (["reproduce"], 1)],
)
def test_numbers_of_workers(command, helped, arguments, default):
    text = " ".join(helped(arguments[0], "--help").split())
    assert f"--jobs INTEGER Workers; -1: one per processor. [default: {default}]" in text
    for wrong in ("0", "-2"):
        done = command(*arguments, "--jobs", wrong)
        assert (done.status, done.out) == (2, "")
        assert f"{wrong} is neither a number of workers from 1 on nor -1" in done.err


def completions(*words):
    done = subprocess.run(
        RUN,
        env=os.environ
        | {
            "COMP_WORDS": " ".join(("gradformer-dgl", *words)),
            "COMP_CWORD": str(len(words)),
            "_GRADFORMER_DGL_COMPLETE": "bash_complete",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_the_shell_completes_names():
    assert completions("tr") == ["train"]
    assert set(completions("train", "mut")) == {"MUTAG", "Mutagenicity"}
    assert completions("train", "mine") == ["mine"]
    assert set(completions("train", "NCI1", "--preset", "")) == set(preset_names())
    assert set(completions("tune", "NCI1", "--model", "g")) == {name for name in MODELS if name[0] == "g"}
    assert completions("train", "NCI1", "--wl-r") == ["--wl-rounds"]


def test_the_script_for_the_shell():
    environment = os.environ | {"_GRADFORMER_DGL_COMPLETE": "bash_source"}
    done = subprocess.run(RUN, env=environment, capture_output=True, text=True, check=True)
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=False).returncode == 0
    assert "complete -o nosort -F" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "guess"),
    [
        (["train", "SHAPES", "--modle", "gin"], 2, "Did you mean --model?"),
        (["train", "SHAPES", "--model", "gradfromer"], 2, "Did you mean gradformer?"),
        (["preprocess", "a.csv", "--task", "regresion"], 2, "Did you mean regression?"),
        (["reproduce", "--table", "mian"], 2, "Did you mean main?"),
        (["evaluate", "runs/x", "--split", "vall"], 2, "Did you mean val?"),
        (["preprocess", "SHAPES", "--layout", "sparce"], 2, "Did you mean sparse?"),
        (["train", "SHAPES", "--preset", "protein"], 1, "did you mean proteins?"),
        (["reproduce", "--models", "gradfromer"], 1, "did you mean gradformer?"),
        (["preprocess", "NCI-TSPA"], 1, "did you mean NCI-TPSA?"),
    ],
)
def test_names_like_it_are_suggested(command, raw, arguments, status, guess):
    root = ["--data-root", raw] if "SHAPES" in arguments else []
    done = command(*arguments, *root)
    assert (done.status, done.out) == (status, "")
    # Click before 8.4 puts no quotation marks around what it suggests.
    assert guess in done.err.replace("'", "")


def test_results_for_scripts(command):
    done = command("datasets", "--json")
    assert (done.status, done.err, done.out.count("\n")) == (0, "", 1)
    assert {entry["name"]: entry["graphs"] for entry in json.loads(done.out)} == {
        entry.name: entry.graphs for entry in catalog()
    }
    done = command("doctor", "--json")
    assert (done.status, done.out.count("\n")) == (0, 1)
    assert json.loads(done.out)["python"].startswith(".".join(map(str, sys.version_info[:3])))


def on_a_terminal(arguments, **environment):
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | environment
    with subprocess.Popen([*RUN, *arguments], stdout=theirs, env=environment | {"TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:
            pass
        os.close(ours)
    assert process.returncode == 0
    return shown


def test_colours_are_for_terminals_that_want_them(cached):
    coloured = rb"\x1b\[[\d;]*3\d"
    assert re.search(coloured, on_a_terminal(["info", str(cached)]))
    assert not re.search(coloured, on_a_terminal(["info", str(cached)], NO_COLOR="1"))
