"""`gradformer-dgl info`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gradformer_dgl.cli import options, results

# Distances with a line of their own; the longer ones share the last line.
MOST_LINES = 16
BAR_WIDTH = 30
UNBROKEN = 1000


@click.command("info")
@click.argument("cache", type=options.FILE)
@click.option("--verify", is_flag=True, help="Read everything and compare the checksums.")
@click.option("--data", metavar="DATASET", help="With --verify: check that the cache is of these graphs.")
@options.data_root
@click.option("--diameters", is_flag=True, help="Read all distances for the longest one in each graph.")
@click.option("--plot", type=options.FILE, help="Draw the histograms of distances and graph sizes.")
@results.as_json
def command(
    cache: Path,
    verify: bool,
    data: str | None,
    data_root: Path | None,
    diameters: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Show what the file CACHE holds.

    Example: gradformer-dgl info cache/MUTAG.h5 --verify --data MUTAG --data-root data
    """
    from gradformer_dgl.cache import DistanceCache

    if data is not None and not verify:
        raise click.UsageError("--data names the graphs to compare with: add --verify")
    if plot is not None:
        from gradformer_dgl.plots.distances import cache_figure
        from gradformer_dgl.plots.style import check_suffix, write_picture

        check_suffix(plot)
    opened = DistanceCache(cache)
    info = opened.info(diameters)
    if verify:
        opened.verify()
        info["verified"] = "all checksums agree"
    if data is not None:
        from gradformer_dgl.data import load_dataset

        dataset = load_dataset(data, data_root)
        opened.verify(dataset.graphs)
        info["verified"] += f", the graphs are those of {dataset.name}"
    if plot is not None:
        write_picture(cache_figure(opened), plot)
    if as_json:
        results.print_result(info, (), as_json)
    else:
        _print(info)


def _print(info: dict[str, Any]) -> None:
    """Print tables to stdout: without colours, and no line broken, where that is no terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, width=None if sys.stdout.isatty() else UNBROKEN)
    block = "█" if console.encoding == "utf-8" else "#"
    overview = Table.grid(padding=(0, 2))
    for name, value in _overview(info):
        overview.add_row(Text(name, "bold"), Text(value))
    arrays = Table("array", box=None, padding=(0, 2, 0, 0))
    for heading in ("in memory, bytes", "on disk, bytes", "times smaller"):
        arrays.add_column(heading, justify="right")
    for name, size in info["arrays"].items():
        ratio = f"{size['bytes'] / size['stored']:.1f}" if size["stored"] else ""
        arrays.add_row(Text(name), f"{size['bytes']:,}", f"{size['stored']:,}", ratio)
    distances = Table("distance", box=None, padding=(0, 2, 0, 0))
    distances.add_column("pairs", justify="right")
    distances.add_column("share", justify="right")
    distances.add_column("")
    lines = list(_distances(info))
    most = max((pairs for _, pairs in lines), default=0)
    for name, pairs in lines:
        bar = block * round(BAR_WIDTH * pairs / max(most, 1))
        distances.add_row(name, f"{pairs:,}", f"{pairs / max(info['pairs'], 1):.2%}", Text(bar, "cyan"))
    for number, table in enumerate((overview, arrays, distances)):
        if number:
            console.print()
        console.print(table)


def _overview(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    cutoff = info["max_distance"]
    yield "file", info["path"]
    yield "created by", f"{info['created_by']}, format {info['format']}"
    yield "graphs", f"{info['graphs']:,}"
    yield "nodes", f"{info['nodes']:,}; in a graph {_range(info['graph_sizes'])}"
    yield "pairs of nodes", f"{info['pairs']:,}"
    stored = "" if info["near_pairs"] is None else f", {info['near_pairs']:,} pairs within the cut-off"
    yield "layout", f"{info['layout']}, {info['dtype']}{stored}"
    yield "edges", "followed from source to destination" if info["directed"] else "followed both ways"
    yield "cut-off", "none" if cutoff is None else f"{cutoff} hops"
    yield "longest distance", f"{info['longest_distance']} hops"
    if "diameters" in info:
        yield "diameters", f"longest distance in a graph {_range(info['diameters'])}"
    yield "unreachable", f"{info['unreachable']:.2%} of the pairs"
    yield "encodings", ", ".join(info["encodings"]) or "none"
    yield "extra distances", ", ".join(info["extra_distances"]) or "none"
    yield (
        "on disk",
        f"{info['bytes']:,} bytes, {info['bytes_per_pair']:.3g} for each pair, "
        f"{info['compression']:.3g} times smaller than in memory",
    )
    if "verified" in info:
        yield "verified", info["verified"]


def _range(sizes: dict[str, float]) -> str:
    return f"{sizes['min']:,} to {sizes['max']:,}, median {sizes['median']:,g}"


def _distances(info: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Lines of the histogram: name and number of pairs."""
    histogram = info["histogram"]
    # One line more would hold no more than the shared one does.
    shown = len(histogram) if len(histogram) <= MOST_LINES + 1 else MOST_LINES
    for distance, pairs in enumerate(histogram[:shown]):
        yield str(distance), pairs
    if shown < len(histogram):
        yield f"{shown} to {len(histogram) - 1}", sum(histogram[shown:])
    if info["pairs"] > sum(histogram):
        yield "none", info["pairs"] - sum(histogram)
