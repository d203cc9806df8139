"""`gradformer-dgl datasets`."""

import click


@click.command("datasets")
def command() -> None:
    """List the data sets that can be used by name.

    Any other TU data set works by its name too, a CSV file of molecules by its path, and what a Python
    function makes by MODULE:FUNCTION.
    """
    from gradformer_dgl.data.catalog import catalog

    entries = catalog()
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        click.echo(f"{entry.name:<{width}}  {entry.graphs:>6,} graphs; {entry.task}; {entry.description}")
