"""`gradformer-dgl plot`: files, what is left out, the page, and mistakes."""

import base64
import json
import math
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest

from gradformer_dgl.cli.plot import command as plot_command
from gradformer_dgl.plots.page import page_text
from gradformer_dgl.plots.pictures import draw_pictures
from gradformer_dgl.plots.plotted_run import PlottedRun
from gradformer_dgl.plots.registry import PICTURES
from gradformer_dgl.training.trained_run import open_run

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def plot(command):
    """Return a function that draws, and returns the files on stdout and the lines on stderr."""

    def run(folder, *arguments):
        done = command("plot", folder, "--device", "cpu", "--trust", *arguments)
        assert done.status == 0, done.err
        return [Path(line) for line in done.out.splitlines()], done.err.splitlines()

    return run


@pytest.fixture
def copied(trained, tmp_path):
    """Return a function that trains a run and copies its folder, for a test to break."""

    def copy(data, **options) -> Path:
        return Path(shutil.copytree(trained(data, **options).folder, tmp_path / "run"))

    return copy


class Page(HTMLParser):
    """The elements of a page that may point elsewhere, and its text."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[dict[str, str]] = []
        self.names: set[str] = set()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "action", "data"):
                self.links.append(value)
            assert not name.startswith("on")
        if tag == "img":
            self.images.append(dict(attributes))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def check_svg(content: bytes) -> None:
    root = ElementTree.fromstring(content)
    assert root.tag == f"{SVG}svg"
    paths = 0
    for element in root.iter():
        paths += element.tag == f"{SVG}path"
        for name, value in element.attrib.items():
            if name.endswith("href"):
                assert value.startswith(("#", "data:"))
    assert paths > 20


@pytest.mark.parametrize(
    ("data", "settings", "missing"),
    [
        ("two_values", {}, ()),
        ("yes_or_no", {"model": "gin"}, ("decay", "attention")),
        ("three_classes", {"model": "graphormer"}, ("decay",)),
        ("several", {"wl_rounds": 2, "encoding": "rwse:3"}, ()),
        ("nodes", {}, ()),
    ],
)
def test_every_task_has_its_pictures(trained, plot, tmp_path, data, settings, missing):
    out = tmp_path / "pictures"
    files, said = plot(trained(data, **settings).folder, "--out", out, "--format", "svg")
    assert files == [out / f"{name}.svg" for name in PICTURES if name not in missing]
    assert sorted(out.iterdir()) == sorted(files)
    assert [line.split(" left out: ")[0] for line in said] == list(missing)
    for file in files:
        check_svg(file.read_bytes())


def test_some_pictures_in_some_formats(copied, plot):
    folder = copied("nodes")
    files, said = plot(folder, "--only", "distances, curves", "--format", "pdf,png")
    names = ("distances.pdf", "distances.png", "curves.pdf", "curves.png")
    assert files == [folder / "plots" / name for name in names]
    assert said == []
    for file in files:
        assert file.read_bytes().startswith(b"%PDF" if file.suffix == ".pdf" else b"\x89PNG\r\n")
    first = files[0].read_bytes()
    plot(folder, "--only", "distances", "--format", "pdf")
    assert files[0].read_bytes() == first
    files, _ = plot(folder, "--only", "distances")
    assert [file.suffix for file in files] == [".png", ".svg"]


def test_one_seed_alone(copied, plot):
    folder = copied("nodes")
    chosen = ("--only", "curves,predictions", "--format", "svg")
    plot(folder, "--seed", 1, "--out", folder / "one", *chosen)
    plot(folder, "--out", folder / "both", *chosen)
    for name in ("curves.svg", "predictions.svg"):
        assert (folder / "one" / name).read_bytes() != (folder / "both" / name).read_bytes()


def test_the_page_holds_everything(copied):
    folder = copied("two_values")
    result = json.loads((folder / "result.json").read_text())
    result["dataset"] = "<b>& other"
    (folder / "result.json").write_text(json.dumps(result))
    run = PlottedRun(open_run(folder, trust=True).spec)
    text = page_text(run, draw_pictures(run)[0])
    page = Page(text)
    assert not {"script", "iframe", "object", "embed", "b&"} & page.names
    assert page.links
    assert all(link.startswith("data:") for link in page.links)
    assert "url(" not in text
    assert "@import" not in text
    assert len(page.images) == len(PICTURES) == 5
    for image, picture in zip(page.images, PICTURES.values(), strict=True):
        assert image["alt"] == picture.traits["caption"]
        kind, content = image["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        check_svg(base64.b64decode(content))
    words = " ".join(" ".join(page.words).split())
    assert "<b>& other, gradformer" in words
    assert f"Test mae {result['mean']:.4g} ± {result['std']:.4g}" in words
    assert f"{result['predicting_the_mean']:.4g}" in words
    for one in result["runs"]:
        assert f"{one['best_epoch']}" in page.words
        assert f"{one['test']:.4g}" in page.words
        assert f"{one['parameters']:,}" in page.words
    assert "hop 1.5" in words
    assert "weight_decay 1e-05" in words
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_a_page_in_a_folder_of_ones_own(copied, plot, tmp_path):
    folder = tmp_path / "new" / "pictures"
    files, _ = plot("--html", copied("nodes"), "--only", "distances", "--format", "png", "--out", folder)
    assert files[-1] == folder / "report.html"
    assert len(Page(files[-1].read_text(encoding="utf-8")).images) == 1


OWN_PICTURES = """
from matplotlib.figure import Figure
from gradformer_dgl.support.errors import RunError

def sizes(run):
    figure = Figure()
    figure.subplots().hist(run.dataset.graphs.node_counts.tolist())
    return figure

sizes.traits = {"title": "Sizes <of graphs>", "caption": "Numbers of nodes."}

def plain(run):
    return sizes(run)

def nothing(run):
    raise RunError("there is nothing to see")
"""


def test_a_picture_of_ones_own(copied, plot, command, tmp_path, monkeypatch):
    folder = copied("nodes")
    (tmp_path / "own_pictures.py").write_text(OWN_PICTURES)
    monkeypatch.syspath_prepend(tmp_path)
    names = ("own_pictures:sizes", "own_pictures:plain", "own_pictures:nothing", "distances")
    files, said = plot(folder, "--only", ",".join(names), "--format", "svg", "--html")
    assert [file.name for file in files] == ["sizes.svg", "plain.svg", "distances.svg", "report.html"]
    assert said == ["nothing left out: there is nothing to see"]
    for file in files[:3]:
        check_svg(file.read_bytes())
    page = Page(files[-1].read_text())
    assert [image["alt"] for image in page.images[:2]] == ["Numbers of nodes.", "plain"]
    assert "Sizes <of graphs>" in page.words
    for name, message in [
        ("own_pictures:none", "the module own_pictures has no 'none'"),
        ("no_pictures:none", "there is no module 'no_pictures' in the current folder or installed"),
    ]:
        done = command("plot", folder, "--only", name, "--device", "cpu", "--trust")
        assert (done.status, done.err) == (1, f"Error: {message}\n")


def test_names_of_pictures_are_completed():
    (only,) = (option for option in plot_command.params if option.name == "only")
    items = only.type.shell_complete(None, only, "curves,d")
    assert [item.value for item in items] == ["curves,decay", "curves,distances"]
    assert all(name in only.get_help_record(click.Context(plot_command))[1] for name in PICTURES)


def test_data_that_is_gone(copied, plot):
    folder = copied("nodes")
    settings = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(settings.replace("graphs_to_draw:nodes", "graphs_gone:nodes"))
    files, said = plot(folder, "--format", "png", "--html", "--only", "attention,predictions,distances")
    assert [file.stem for file in files] == ["distances", "report"]
    assert [line.split(":")[0] for line in said] == ["attention left out", "predictions left out"]
    assert all("there is no module 'graphs_gone'" in line for line in said)
    words = Page(files[-1].read_text()).words
    assert all(line in words for line in said)


def test_a_cache_that_is_gone_may_be_named(copied, plot, trained, tmp_path):
    folder = copied("nodes")
    cache = trained("nodes").cache
    (folder / "config.yaml").write_text(
        (folder / "config.yaml").read_text().replace(cache, str(tmp_path / "gone.h5"))
    )
    chosen = ("--format", "png", "--only", "decay,attention,predictions,distances")
    files, said = plot(folder, *chosen)
    assert [file.stem for file in files] == ["decay"]
    names = ["attention", "predictions", "distances"]
    assert [line.split(" left out: ")[0] for line in said] == names
    files, said = plot(folder, "--format", "png", "--only", "distances", "--cache", cache)
    assert (len(files), said) == (1, [])


def test_a_run_that_is_not_finished(copied, plot):
    folder = copied("nodes")
    (folder / "result.json").unlink()
    (folder / "seed-1" / "weights.safetensors").unlink()
    (folder / "seed-0" / "metrics.jsonl").unlink()
    files, said = plot(folder, "--format", "png", "--html", "--only", "curves,predictions")
    assert [file.stem for file in files] == ["curves", "predictions", "report"]
    assert len(said) == 2
    assert said[0].startswith("seed 0 has no curves: ")
    assert said[1].startswith("seed 1 has no weights: no weights.safetensors in ")
    assert "The run has no result yet." in Page(files[-1].read_text()).words


def test_a_run_that_diverged(copied, plot):
    """The curves, which tell when it happened, are drawn all the same."""
    folder = copied("nodes")
    (folder / "result.json").unlink()
    for seed in (0, 1):
        (folder / f"seed-{seed}" / "weights.safetensors").unlink()
        metrics = folder / f"seed-{seed}" / "metrics.jsonl"
        *sound, last = map(json.loads, metrics.read_text().splitlines())
        lost = {"val_loss": math.nan, "tau": [math.nan] * len(last["tau"])}
        metrics.write_text("".join(json.dumps(one) + "\n" for one in (*sound, last | lost)))
    files, said = plot(folder, "--format", "png", "--only", "curves,decay,distances")
    assert [file.stem for file in files] == ["curves", "distances"]
    assert said == ["decay left out: the thresholds of seed 0 are no longer finite: its training diverged"]


def test_mistakes_are_one_line(trained, command, copied, tmp_path):
    folder = copied("nodes")
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "out" / "report.html").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for arguments, status, message in [
        ([empty], 1, "is not a run folder: it has no config.yaml"),
        ([folder, "--graph", 99], 1, "--graph 99: the data has the graphs 0 to 29"),
        ([folder, "--layer", 9], 1, "--layer 9: the model has the layers 1 to 2"),
        ([folder, "--seed", 5], 1, "has no seed 5: there are 0, 1"),
        (
            [folder, "--only", "curves", "--out", tmp_path / "file" / "in"],
            1,
            "cannot be made: Not a directory",
        ),
        (
            [folder, "--only", "curves", "--html", "--out", tmp_path / "out"],
            1,
            "cannot be written: Is a directory",
        ),
        ([folder, "--only", "curve"], 2, "'curve': choose from curves, decay, attention"),
        ([folder, "--only", "decay,curve"], 2, "did you mean 'curves'?"),
        ([folder, "--only", "roc"], 2, "predictions, distances\n"),
        ([folder, "--format", "svgz"], 2, "'svgz': choose from png, svg, pdf; did you mean 'svg'?"),
        ([folder, "--format", ","], 2, "choose from png, svg, pdf"),
        ([folder, "--graph", -1], 2, "-1 is not in the range"),
    ]:
        done = command("plot", *arguments, "--device", "cpu", "--trust")
        assert (done.status, done.out) == (status, ""), arguments
        assert message in done.err
        assert "Traceback" not in done.err
        assert status == 2 or len(done.err.splitlines()) == 1
    gin = trained("yes_or_no", model="gin").folder
    done = command("-q", "plot", gin, "--only", "decay", "--device", "cpu", "--out", tmp_path / "none")
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines() == [
        f"Error: nothing to write to {tmp_path / 'none'}: no picture can be drawn"
    ]
