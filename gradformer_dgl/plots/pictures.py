"""Drawing the pictures of a run, and writing them to files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradformer_dgl.plots.plotted_run import PlottedRun
from gradformer_dgl.plots.registry import PICTURES
from gradformer_dgl.plots.style import write_picture
from gradformer_dgl.support.errors import ConfigError, GradformerError, RunError, one_line


@dataclass(frozen=True)
class Picture:
    """A picture of a run: name of its file, text above and below it on a page, Matplotlib figure."""

    name: str
    title: str
    caption: str
    figure: Any


def draw_pictures(
    run: PlottedRun,
    names: Sequence[str] = tuple(PICTURES),
    on_picture: Callable[[str], None] = lambda name: None,
) -> tuple[list[Picture], list[str]]:
    """Draw the pictures of a run that can be drawn; return them, and a line for each thing left out."""
    drawn, left_out = [], []
    for name in names:
        on_picture(name)
        part = PICTURES.part(name)
        draw, short = part.load(), name.rpartition(":")[2]
        try:
            figure = draw(run)
        except ConfigError:
            raise
        except GradformerError as error:
            left_out.append(f"{short} left out: {one_line(error)}")
        else:
            title = part.traits.get("title", short)
            drawn.append(Picture(short, title, part.traits.get("caption", title), figure))
    return drawn, run.notes + left_out


def write_pictures(pictures: Sequence[Picture], out: Path, formats: Sequence[str]) -> list[Path]:
    """Write pictures into a folder, each under its name in every format; return the files."""
    if not pictures:
        raise RunError(f"nothing to write to {out}: no picture can be drawn")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out} cannot be made: {error.strerror}") from None
    files = []
    for picture in pictures:
        for kind in formats:
            files.append(out / f"{picture.name}.{kind}")
            write_picture(picture.figure, files[-1])
    return files
