"""Style and file formats of the pictures, for print too, where colours may turn into greys."""

import functools
import io
import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradformer_dgl.support.atomic_write import write_atomically
from gradformer_dgl.support.errors import ConfigError, RunError

_logger = logging.getLogger("gradformer_dgl")
_NO_GLYPH = r"Glyph .* missing from"

WIDTH = 7.2
"""Inches: the text of a page, so that fonts are printed in the size they have here."""
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#AA4499", "#56B4E9", "#E69F00")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (9, 3)))
MARKERS = "os^Dv<>pdh"

_FONT = "DejaVu Sans"
"""Comes with Matplotlib."""
_MORE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Microsoft YaHei",
    "Arial Unicode MS",
)
"""For the characters that it has not, where they are installed."""

_SETTINGS: Any = {
    # A class may be called $5.
    "text.parse_math": False,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 1.4,
    "figure.facecolor": "white",
    "savefig.dpi": 200,
    # Outlines in place of letters look the same wherever the file is opened.
    "svg.fonttype": "path",
    # The same picture is the same file.
    "svg.hashsalt": "gradformer-dgl",
}
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(_METADATA)


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save in the style of this package, whatever the user's own settings are."""
    import matplotlib
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        matplotlib.rcParams["font.family"] = [_FONT, *(font for font in _MORE_FONTS if font in installed)]
        yield


def colour(number: int) -> str:
    """Return the colour of a line."""
    return COLOURS[number % len(COLOURS)]


def dashes(number: int) -> Any:
    """Return the dashes of a line, with which it is told from others without colours."""
    return DASHES[number % len(DASHES)]


def marker(number: int) -> str:
    """Return the marker of a line."""
    return MARKERS[number % len(MARKERS)]


def panels(count: int, columns: int, panel_height: float, width: float = WIDTH) -> tuple[Any, list[Any]]:
    """Return a figure and so many axes, in rows."""
    from matplotlib.figure import Figure

    columns = min(count, columns)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width, rows * panel_height), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def rendered(figure: Any, kind: str) -> bytes:
    """Return the content of a picture file."""
    stream = io.BytesIO()
    with styled(), warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", _NO_GLYPH, UserWarning)
        figure.savefig(stream, format=kind, metadata=_METADATA.get(kind))
    if any(re.match(_NO_GLYPH, str(warning.message)) for warning in caught):
        _say_missing_characters()
    # The places that were found serve the other formats too.
    figure.set_layout_engine("none")
    return stream.getvalue()


@functools.cache
def _say_missing_characters() -> None:
    _logger.warning(
        "some names have characters that no font here has, and are drawn as boxes: install one, such as %s",
        _MORE_FONTS[0],
    )


def write_picture(figure: Any, file: Path) -> None:
    """Write a picture, whole or not at all; the suffix is the format."""
    content = rendered(figure, file.suffix[1:].lower())
    try:
        write_atomically(file, content, durable=False)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}") from None


def check_suffix(file: Path) -> None:
    """Refuse a file whose suffix is no format that Matplotlib writes, with ConfigError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    formats = FigureCanvasAgg.filetypes
    if file.suffix[1:].lower() not in formats:
        raise ConfigError(
            f"{file} is no picture: give it one of the suffixes {', '.join(f'.{name}' for name in formats)}"
        )
