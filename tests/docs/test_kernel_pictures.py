"""Drawings of the page on kernels, compared with those that the script draws now."""

import importlib.util

import numpy as np
import pytest
from matplotlib import image
from pages import DOCS

NAMES = ("search", "ragged", "fused", "sparse")


@pytest.fixture(scope="module")
def drawings():
    """The module that draws them."""
    path = DOCS / "extensions" / "kernel_pictures.py"
    spec = importlib.util.spec_from_file_location("kernel_pictures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_drawings_are_drawn_anew(drawings, name, tmp_path):
    kept = image.imread(drawings.IMAGES / f"kernels-{name}.png")
    drawings.PICTURES[name](tmp_path / "drawn.png")
    drawn = image.imread(tmp_path / "drawn.png")
    assert kept.shape == drawn.shape
    # Other versions may draw letters a bit differently.
    assert (np.abs(kept - drawn)[..., :3].max(2) > 0.2).mean() < 0.02


def test_the_page_shows_them_all(drawings):
    text = (DOCS / "kernels.md").read_text(encoding="utf-8")
    assert sorted(drawings.PICTURES) == sorted(NAMES)
    assert all(f"](images/kernels-{name}.png)" in text for name in NAMES)
