"""`gradformer-dgl datasets`."""

import click


@click.command("datasets")
def command() -> None:
    """List the data sets that can be used by name.

    Any other TU data set works by its name too.
    """
    from gradformer_dgl.data.catalog import described_datasets

    rows = described_datasets()
    width = max(len(name) for name, _ in rows)
    for name, description in rows:
        click.echo(f"{name:<{width}}  {description}")
