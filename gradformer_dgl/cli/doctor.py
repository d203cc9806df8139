"""`gradformer-dgl doctor`."""

import click


@click.command("doctor")
def command() -> None:
    """Show versions, and whether the installation can use the GPU.

    Where something is amiss, the line says what to do.
    """
    from gradformer_dgl.cli.diagnosis import diagnose

    for topic, finding in diagnose():
        click.echo(f"{topic:<16}{finding}")
