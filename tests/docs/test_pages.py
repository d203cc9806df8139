"""Commands and code of the documentation run, and its pages have the agreed form."""

import configparser
import os
import re
import sys

import click
import pytest
from pages import (
    DOCS,
    ROOT,
    blocks,
    commands,
    first_element,
    inline_commands,
    is_sentence,
    named,
    pages,
    shown_output,
)

from gradformer_dgl.cli import group

# Pages whose commands are run, but those on data or machines that are not there.
RUN = (
    "tutorial.md",
    "howto/extend.md",
    "howto/molecules.md",
    "howto/own_graphs.md",
    "howto/node_tasks.md",
    "howto/pictures.md",
)
NOT_RUN = ("--data-root", "CLUSTER")
LANGUAGES = {"", "sh", "console", "python", "text", "yaml"}
SHELL = ("", "sh", "console")
PROGRAMS = {"gradformer-dgl", "torchrun", "make", "pip", "python", "conda", "eval"}


def check_options(words):
    """Parse a gradformer-dgl command without running it; raises click's error where it is wrong."""
    try:
        # Which is taken out wherever it stands, before the rest is read.
        words = [word for word in words if word != "--debug"]
        with group.make_context("gradformer-dgl", words) as context:
            rest = [*getattr(context, "_protected_args", ()), *context.args]
            name, command, rest = group.resolve_command(context, rest)
            command.make_context(name, rest, parent=context)
    except click.exceptions.Exit as stop:
        if stop.exit_code:
            raise


def check_program(words):
    """Check what other programs are told about this project."""
    program, *rest = words
    assert program in PROGRAMS, words
    if program == "torchrun":
        place = rest.index("gradformer-dgl")
        assert rest[place - 1] == "which"
        check_options(rest[place + 1 :])
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text()
        targets = [word for word in rest if "=" not in word]
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets), words
    elif program == "pip":
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        extras = re.findall(r"\[(.+?)\]", " ".join(rest))
        wanted = {extra for names in extras for extra in names.split(",")}
        assert wanted <= set(setup["options.extras_require"]), words
    elif program in ("python", "conda"):
        files = [word for word in rest if word.endswith((".py", ".yml"))]
        assert files, words
        assert all((ROOT / file).is_file() for file in files), words


@pytest.mark.parametrize("page", pages(), ids=named)
def test_commands_and_options_exist(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, f"line {block.line}"
        if block.language in SHELL:
            for words in commands(block.text):
                if words[0] == "gradformer-dgl":
                    check_options(words[1:])
                else:
                    check_program(words)
    for line in inline_commands(page):
        # Brackets and bars stand for a choice, dots for what the reader knows.
        if not re.search(r"\[|\||\.\.\.", line):
            ((_, *words),) = commands(line)
            check_options(words)


@pytest.mark.parametrize("page", pages(), ids=named)
def test_no_block_is_lost(page):
    lines = page.read_text(encoding="utf-8").split("\n")
    fences = [number for number, line in enumerate(lines, 1) if line.startswith("```")]
    opened = {number for number, line in enumerate(lines, 1) if re.match(r"```(\w*|\{code-block\}.*)$", line)}
    for block in blocks(page):
        assert block.text.strip()
        (begin,) = (number for number in fences[::2] if block.line - 3 < number < block.line)
        end = fences[fences.index(begin) + 1]
        assert lines[block.line - 1 : end - 1] == block.text.split("\n")[:-1]
        opened -= {begin, end}
    assert not opened & set(fences[::2])


def test_a_wrong_option_is_noticed():
    with pytest.raises(click.NoSuchOption):
        check_options(["train", "NCI1", "--epoch-number", "3"])
    with pytest.raises(click.UsageError):
        check_options(["trian", "NCI1"])
    with pytest.raises(AssertionError):
        check_program(["make", "coffee"])


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder to work in, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").is_file():
            del sys.modules[name]


def runs(page, block):
    return block.language == "python" or (block.language in SHELL and str(page.relative_to(DOCS)) in RUN)


RUNNING = [page for page in sorted(DOCS.rglob("*.md")) if any(runs(page, block) for block in blocks(page))]


@pytest.mark.parametrize("page", RUNNING, ids=named)
def test_blocks_run(page, elsewhere, command):
    namespace: dict = {"__name__": "page"}
    for block in blocks(page):
        if block.file:
            (elsewhere / block.file).write_text(block.text)
        elif block.language == "python":
            # With the lines of the page, so that an error names them.
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)
        elif runs(page, block):
            for line, shown in shown_output(block.text):
                (words,) = commands(line)
                if not set(words) & set(NOT_RUN):
                    done = command(*words[1:])
                    # The one input of the pages with a row that is no molecule.
                    assert done.status == (3 if "new.csv" in words else 0), done.err
                    printed = {form(text) for text in (done.out + done.err).splitlines()}
                    assert {form(text) for text in shown if text not in ("", "...")} <= printed


def form(line):
    """Return a line of output with a mark in place of each number."""
    return re.sub(r"\d[\d,.]*(e-?\d+)?", "0", line).strip()


def test_every_page_with_commands_of_its_own_files_is_run():
    for page in sorted(DOCS.rglob("*.md")):
        files = {block.file for block in blocks(page) if block.file.endswith((".py", ".csv"))}
        assert not files or str(page.relative_to(DOCS)) in RUN, page


def test_readmes_have_the_same_code():
    english, chinese = ROOT / "README.md", ROOT / "README.zh.md"

    def code(page):
        return [(block.language, _without_comments(block.text)) for block in blocks(page)]

    assert code(chinese) == code(english)
    assert sorted(inline_commands(chinese)) == sorted(inline_commands(english))


def test_the_layer_in_the_readme_runs_as_it_stands():
    (block,) = (block for block in blocks(ROOT / "README.md") if "shortest_path_distances(" in block.text)
    assert len(block.text.splitlines()) <= 12
    namespace: dict = {}
    exec(compile(block.text, "README.md", "exec"), namespace)
    assert namespace["h"].shape == (15, 64)


@pytest.mark.parametrize("page", pages(), ids=named)
def test_pages_begin_with_code_or_a_picture(page):
    # A README has its picture first; pages of the documentation have a snippet, or are a list of pages.
    if page.parent == ROOT:
        assert "\n\n![" in page.read_text(encoding="utf-8").split("\n## ")[0]
    else:
        assert first_element(page) in ("code", "picture", "pages")


def test_a_page_that_begins_with_text_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nOne sentence of `a.b` here. And another.\n\n```sh\nls\n```\n")
    assert first_element(page).startswith("One sentence")
    page.write_text("# Title\n\nOne sentence of `a.b` here (version 2.0).\n\n```sh\nls\n```\n")
    assert first_element(page) == "code"
    assert not is_sentence("- a list.")


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_readmes_are_short(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1100


def test_the_readme_shows_the_layer_before_the_command_line():
    parts = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## ")
    titles = [part.split("\n")[0] for part in parts[1:]]
    assert titles[:4] == [
        "Install",
        "The layer in a DGL model",
        "From data set to score",
        "Distances for any model",
    ]


def test_the_cached_distances_in_the_readme_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks(ROOT / "README.md") if "preprocess_graphs(" in block.text)
    assert len(block.text.splitlines()) <= 8
    namespace: dict = {}
    exec(compile(block.text, "README.md", "exec"), namespace)
    batch = next(iter(namespace["loader"]))
    assert len(batch.distances) == 32
    assert namespace["cache"][0].shape[0] == batch.distances.node_counts[0]


def test_readmes_name_each_other():
    assert "(README.zh.md)" in (ROOT / "README.md").read_text(encoding="utf-8").split("\n## ")[0]
    assert "(README.md)" in (ROOT / "README.zh.md").read_text(encoding="utf-8").split("\n## ")[0]


def test_readmes_have_the_same_numbers_in_each_section():
    numbers = re.compile(r"[0-9]+(?:[,.][0-9]+)*")

    def sections(page):
        text = page.read_text(encoding="utf-8")
        # Which Chinese counts in ten thousands.
        text = re.sub(r"(\d+) million", lambda found: f"{100 * int(found[1])} 万", text)
        return [sorted(numbers.findall(part)) for part in text.split("\n## ")]

    assert sections(ROOT / "README.zh.md") == sections(ROOT / "README.md")


def _without_comments(text):
    return [re.sub(r"\s*#.*", "", line) for line in text.split(os.linesep)]
