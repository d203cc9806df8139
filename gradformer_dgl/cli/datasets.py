"""`gradformer-dgl datasets`."""

import dataclasses

import click

from gradformer_dgl.cli import results


@click.command("datasets")
@results.as_json
def command(as_json: bool) -> None:
    """List the data sets that can be used by name.

    Any other TU data set works by its name too, a CSV file of molecules by its path, and what a Python
    function makes by MODULE:FUNCTION.

    Example: gradformer-dgl datasets
    """
    from gradformer_dgl.data.catalog import catalog

    entries = catalog()
    width = max(len(entry.name) for entry in entries)
    results.print_result(
        [dataclasses.asdict(entry) for entry in entries],
        [
            f"{entry.name:<{width}}  {entry.graphs:>6,} graphs; {entry.task}; {entry.description}"
            for entry in entries
        ],
        as_json,
    )
