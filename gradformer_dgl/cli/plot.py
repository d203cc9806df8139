"""`gradformer-dgl plot`."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from gradformer_dgl.cli import options, results
from gradformer_dgl.cli.help import completed
from gradformer_dgl.plots.registry import PICTURES
from gradformer_dgl.plots.style import FORMATS
from gradformer_dgl.support.did_you_mean import suggestion
from gradformer_dgl.support.registry import Registry, is_code

PAGE = "report.html"


class _Names(click.ParamType):
    """A list of names with commas, completed and guessed; a registry admits ``module:function`` too."""

    name = "names"

    def __init__(self, known: Mapping[str, Any] | Sequence[str]) -> None:
        self._known = known

    def get_metavar(self, *context: Any, **more: Any) -> str:
        return "NAME,..."

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        wrong = [name for name in names if not self._admits(name)]
        if wrong or not names:
            said = wrong[0] if wrong else value
            known = f"{', '.join(self._known)}{suggestion(said, self._known)}"
            self.fail(f"{said!r}: choose from {known}", parameter, context)
        return names

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + item.value) for item in completed(list(self._known), last)]

    def _admits(self, name: str) -> bool:
        return name in self._known or (isinstance(self._known, Registry) and is_code(name))


@click.command("plot")
@click.argument("run", type=options.FILE)
@click.option("--out", type=options.FOLDER, help="Folder to write to. [default: RUN/plots]")
@click.option(
    "--only",
    type=_Names(PICTURES),
    default=",".join(PICTURES),
    show_default=True,
    help="Pictures to draw; MODULE:FUNCTION is one of your own.",
)
@click.option(
    "--format",
    "formats",
    type=_Names(FORMATS),
    default="png,svg",
    show_default=True,
    help=f"A file of each, of {', '.join(FORMATS)}.",
)
@click.option(
    "--html", is_flag=True, help=f"Gather pictures, scores and settings in one page, {PAGE} beside them."
)
@options.number("--graph", "Draw the attention of this graph. [default: a test graph of usual size]", low=0)
@options.number("--layer", "Layer of the attention. [default: the last]")
@options.number("--seed", "Draw this seed alone. [default: all]", low=0)
@options.trained_run_options
@results.as_json
@click.pass_obj
def command(
    obj: dict[str, bool],
    run: Path,
    out: Path | None,
    only: tuple[str, ...],
    formats: tuple[str, ...],
    html: bool,
    graph: int | None,
    layer: int | None,
    seed: int | None,
    open_run: Callable[[Path], Any],
    as_json: bool,
) -> None:
    """Draw the run folder RUN: training, decay, attention of one graph, test predictions, distances.

    The files are printed on stdout. What cannot be drawn, such as the decay of a model without one, is left
    out, and a line on stderr says why.

    Example: gradformer-dgl plot runs/MUTAG --html

    Example: gradformer-dgl plot runs/MUTAG --only attention --graph 3 --layer 1 --format pdf
    """
    from rich.console import Console

    from gradformer_dgl.plots.page import write_page
    from gradformer_dgl.plots.pictures import draw_pictures, write_pictures
    from gradformer_dgl.plots.plotted_run import PlottedRun

    trained = open_run(run)
    if seed is not None:
        trained = trained.only(seed)
    plotted = PlottedRun(trained.spec, graph, layer)
    with Console(stderr=True, quiet=obj["quiet"]).status("drawing") as status:
        pictures, left_out = draw_pictures(plotted, only, lambda name: status.update(f"drawing {name}"))
    for line in left_out:
        logging.getLogger("gradformer_dgl").warning("%s", line)
    folder = run / "plots" if out is None else out
    files = write_pictures(pictures, folder, formats)
    if html:
        files.append(folder / PAGE)
        write_page(plotted, pictures, left_out, files[-1])
    result = {"run": str(run), "files": [str(file) for file in files], "left_out": left_out}
    results.print_result(result, files, as_json)
