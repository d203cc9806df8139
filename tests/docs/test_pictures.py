"""Pictures of the README and the pages, compared with those that the package draws now."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from pages import DOCS, ROOT, pages

from gradformer_dgl.plots.registry import PICTURES


@pytest.fixture
def pictures():
    """The module that draws the pictures of the documentation."""
    pytest.importorskip("rdkit")
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "extensions" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def difference(first, second):
    """Share of the pixels that differ clearly; letters may be drawn a bit differently by other versions."""
    return (np.abs(first - second)[..., :3].max(2) > 0.2).mean()


def test_the_picture_of_the_readme_is_drawn_anew(pictures, tmp_path, monkeypatch):
    kept = image.imread(pictures.README_PICTURE)
    pictures.draw_mask(tmp_path / "mask.png")
    drawn = image.imread(tmp_path / "mask.png")
    assert kept.shape == drawn.shape
    assert difference(kept, drawn) < 0.01
    monkeypatch.setattr(pictures, "CAFFEINE", "C" * 14)
    pictures.draw_mask(tmp_path / "other.png")
    assert difference(kept, image.imread(tmp_path / "other.png")) > 0.1


def test_the_picture_of_the_decay_is_drawn_anew(pictures, tmp_path, monkeypatch):
    kept = image.imread(pictures.DECAY_PICTURE)
    pictures.draw_decay(tmp_path / "decay.png")
    drawn = image.imread(tmp_path / "decay.png")
    assert kept.shape == drawn.shape
    assert difference(kept, drawn) < 0.01
    monkeypatch.setattr(pictures, "THRESHOLDS", (9.0, 10.0, 11.0, 12.0))
    pictures.draw_decay(tmp_path / "other.png")
    assert difference(kept, image.imread(tmp_path / "other.png")) > 0.01


def test_pages_show_pictures_of_the_checkout():
    shown = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
    for page in pages():
        for path in shown.findall(page.read_text(encoding="utf-8")):
            assert (page.parent / path).is_file(), (page, path)
            assert "build" not in (page.parent / path).resolve().relative_to(ROOT).parts


def test_the_page_of_pictures_shows_each_kind():
    page = DOCS / "howto" / "pictures.md"
    text = page.read_text(encoding="utf-8")
    for name in PICTURES:
        file = page.parent / f"../images/trees-{name}.png"
        assert f"](../images/{file.name})" in text
        assert f"*`{name}`" in text or name == "attention"
        assert file.stat().st_size < 100_000


def test_the_pictures_of_the_run_are_those_of_the_page(pictures, tmp_path, monkeypatch):
    run = []

    def record(words, cwd, **options):
        run.append(" ".join(words[3:]))
        assert "def make_dataset" in (Path(cwd) / "trees.py").read_text()
        plots = Path(cwd) / "runs" / "trees" / "plots"
        plots.mkdir(parents=True, exist_ok=True)
        image.imsave(plots / "curves.png", np.zeros((4, 5, 3)))

    monkeypatch.setattr(pictures.subprocess, "run", record)
    pictures.draw_run(tmp_path)
    assert [words.split()[0] for words in run] == ["preprocess", "train", "plot"]
    assert image.imread(tmp_path / "trees-curves.png").shape[:2] == (4, 5)


def test_readmes_show_it(pictures):
    for page in ("README.md", "README.zh.md"):
        top = (ROOT / page).read_text(encoding="utf-8").split("\n## ")[0]
        assert f"({pictures.README_PICTURE.relative_to(ROOT)})" in top
    assert pictures.README_PICTURE.stat().st_size < 150_000
    assert image.imread(pictures.README_PICTURE)[..., 3].min() == 1
