"""All pictures of a run with its scores and settings, in one HTML file that needs no other."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from gradformer_dgl.plots.pictures import Picture
from gradformer_dgl.plots.plotted_run import PlottedRun
from gradformer_dgl.plots.style import rendered
from gradformer_dgl.support.atomic_write import write_whole
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.config import RunConfig


def write_page(run: PlottedRun, pictures: Sequence[Picture], left_out: Sequence[str], file: Path) -> None:
    """Write the page of a run, whole or not at all; ``left_out`` says what is missing, and why."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{file.parent} cannot be made: {error.strerror}") from None
    write_whole(file, page_text(run, pictures, left_out))


def page_text(run: PlottedRun, pictures: Sequence[Picture], left_out: Sequence[str] = ()) -> str:
    """Return the page of a run as HTML, without scripts and without addresses of other files."""
    name = str((run.result or {}).get("dataset") or Path(run.spec.dataset).name)
    title = f"{name}, {run.config.model}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _scores(run),
        *(_figure(picture) for picture in pictures),
        _settings(run),
        _list("Left out", left_out),
    ]
    template = resources.files("gradformer_dgl.plots").joinpath("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(title=escape(title), body="\n".join(filter(None, parts)))


def _figure(picture: Picture) -> str:
    content = base64.b64encode(rendered(picture.figure, "svg")).decode("ascii")
    width = picture.figure.get_size_inches()[0]
    return (
        f'<h2>{escape(picture.title)}</h2>\n<figure id="{picture.name}">\n'
        f'<img alt="{escape(picture.caption)}" style="max-width: {7.5 * width:.0f}rem" '
        f'src="data:image/svg+xml;base64,{content}">\n'
        f"<figcaption>{escape(picture.caption)}</figcaption>\n</figure>"
    )


def _scores(run: PlottedRun) -> str:
    result = run.result
    if result is None:
        return "<p>The run has no result yet.</p>"
    metric, unit = str(result.get("metric", "score")).replace("_", " "), str(result.get("unit", ""))
    seeds = len(result["runs"])
    spread = f" ± {_number(result.get('std'))}" if seeds > 1 else ""
    lines = [
        f'<p class="score">Test {escape(metric)} {_number(result.get("mean"))}{spread} {escape(unit)}</p>',
        f'<p class="soft">Mean{" and sample standard deviation" if seeds > 1 else ""} of {seeds} '
        f"{'seeds' if seeds > 1 else 'seed'}, at the epoch with the best validation score.</p>",
    ]
    if "predicting_the_mean" in result:
        lines.append(
            f"<p>Predicting the mean of the training data: {_number(result['predicting_the_mean'])}</p>"
        )
    also = list(result.get("also") or {})
    heads = ["seed", "best epoch", f"validation {metric}", f"test {metric}"]
    heads += [f"test {name.replace('_', ' ')}" for name in also] + ["parameters", "seconds"]
    rows = []
    for one in result["runs"]:
        cells = [one.get("seed"), one.get("best_epoch"), one.get("val"), one.get("test")]
        cells += [(one.get("also") or {}).get(name) for name in also]
        rows.append([_number(cell) for cell in (*cells, one.get("parameters"), one.get("seconds"))])
    return "\n".join(lines) + _table(heads, rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = ""
    for row in rows:
        # On a narrow screen the rows are lists, and need the names beside the values.
        cells = zip(heads, row, strict=True)
        body += "<tr>" + "".join(
            f'<td data-name="{escape(name)}">{escape(cell)}</td>' for name, cell in cells
        )
        body += "</tr>\n"
    return f"\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"


def _settings(run: PlottedRun) -> str:
    settings, usual = run.config.as_dict(), RunConfig().as_dict()
    spec = run.spec
    shown = {"data": spec.dataset, "cache": spec.cache, "seeds": ", ".join(map(str, spec.seeds))}
    for name, value in spec.data_options.given().items():
        shown[name.replace("_", " ")] = value if isinstance(value, str) else ", ".join(value)
    shown |= {key: run.result[key] for key in ("version", "torch") if run.result and key in run.result}
    unusual = [name for name, value in settings.items() if value != usual[name]]
    return (
        '<h2>Settings</h2>\n<p class="soft">Bold: other than the default of the package.</p>\n'
        + _pairs(settings, unusual)
        + _pairs(shown, kind="long")
    )


def _pairs(values: Mapping[str, Any], bold: Sequence[str] = (), kind: str = "short") -> str:
    cells = []
    for name, value in values.items():
        shown = f"<b>{escape(str(value))}</b>" if name in bold else escape(str(value))
        cells.append(f"<div><dt>{escape(name)}</dt><dd>{shown}</dd></div>\n")
    return f'<dl class="{kind}">\n{"".join(cells)}</dl>\n'


def _list(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "\n".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h2>{escape(title)}</h2>\n<ul>\n{items}\n</ul>"


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
    )
