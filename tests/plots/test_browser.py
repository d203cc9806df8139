"""The page in a browser, narrow and wide, where there is a browser."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest

from gradformer_dgl.plots.page import page_text
from gradformer_dgl.plots.pictures import draw_pictures

WIDTHS = (400, 1280)
# Frames of several widths, and what stands in them when all of it is there.
FRAMES = """<!DOCTYPE html><html><body>{frames}<pre id="found"></pre><script>
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    const edges = [...page.body.querySelectorAll("*")].map(element => element.getBoundingClientRect().right);
    return {{
      wide: root.clientWidth, needed: root.scrollWidth, rightmost: Math.max(...edges),
      images: [...page.images].map(image => [image.complete, image.naturalWidth, image.clientWidth]),
    }};
  }});
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script></body></html>"""


@pytest.fixture(scope="session")
def browser():
    named = os.environ.get("BROWSER_FOR_TESTS")
    found = named or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if found is None:
        pytest.skip("no Chromium or Chrome is installed")
    return found


def test_nothing_is_cut_off_and_nothing_fails(browser, opened, tmp_path):
    run = opened("several", wl_rounds=2, encoding="rwse:3")
    pictures, _ = draw_pictures(run)
    text = page_text(run, pictures, ["a line about something that is left out"])
    frames = "".join(
        f'<iframe srcdoc="{html.escape(text)}" style="width:{width}px;height:900px;border:0"></iframe>'
        for width in WIDTHS
    )
    (tmp_path / "frames.html").write_text(FRAMES.format(frames=frames), encoding="utf-8")
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
    ]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        [browser, *options, (tmp_path / "frames.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert not re.findall(r".*CONSOLE.*", done.stderr)
    (answer,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    for width, found in zip(WIDTHS, json.loads(html.unescape(answer)), strict=True):
        assert found["wide"] == width
        assert found["needed"] <= width
        assert found["rightmost"] <= width
        assert len(found["images"]) == 5
        for complete, natural, shown in found["images"]:
            assert complete
            assert natural > 100
            assert shown > 0.8 * min(width, 500)
