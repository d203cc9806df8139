"""`gradformer-dgl datasets`."""

import dataclasses
import json

import click


@click.command("datasets")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def command(as_json: bool) -> None:
    """List the data sets that can be used by name.

    Any other TU data set works by its name too, a CSV file of molecules by its path, and what a Python
    function makes by MODULE:FUNCTION.

    Example: gradformer-dgl datasets
    """
    from gradformer_dgl.data.catalog import catalog

    entries = catalog()
    if as_json:
        facts = [dataclasses.asdict(entry) for entry in entries]
        click.echo(json.dumps([{name: one[name] for name in one if name != "reader"} for one in facts]))
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        click.echo(f"{entry.name:<{width}}  {entry.graphs:>6,} graphs; {entry.task}; {entry.description}")
