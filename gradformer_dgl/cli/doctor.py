"""`gradformer-dgl doctor`."""

import click

from gradformer_dgl.cli import results


@click.command("doctor")
@results.as_json
def command(as_json: bool) -> None:
    """Show versions, and whether the installation can use the GPU.

    Where something is amiss, the line says what to do.

    Example: gradformer-dgl doctor
    """
    from gradformer_dgl.cli.diagnosis import diagnose

    findings = diagnose()
    lines = [f"{topic:<16}{finding}" for topic, finding in findings]
    results.print_result(dict(findings), lines, as_json)
