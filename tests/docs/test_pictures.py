"""The picture in the README is the one that the package draws."""

import importlib.util

import numpy as np
import pytest
from matplotlib import image
from pages import DOCS, ROOT


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


def test_readmes_show_it(pictures):
    for page in ("README.md", "README.zh.md"):
        top = (ROOT / page).read_text(encoding="utf-8").split("\n## ")[0]
        assert f"({pictures.README_PICTURE.relative_to(ROOT)})" in top
    assert pictures.README_PICTURE.stat().st_size < 150_000
    assert image.imread(pictures.README_PICTURE)[..., 3].min() == 1
