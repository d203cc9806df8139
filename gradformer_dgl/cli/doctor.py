"""`gradformer-dgl doctor`."""

import json

import click


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def command(as_json: bool) -> None:
    """Show versions, and whether the installation can use the GPU.

    Where something is amiss, the line says what to do.

    Example: gradformer-dgl doctor
    """
    from gradformer_dgl.cli.diagnosis import diagnose

    findings = diagnose()
    if as_json:
        click.echo(json.dumps(dict(findings)))
        return
    for topic, finding in findings:
        click.echo(f"{topic:<16}{finding}")
