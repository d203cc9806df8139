"""`gradformer-dgl info`."""

import json
from pathlib import Path

import click


@click.command("info")
@click.argument("cache", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Read everything and compare the checksums.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def command(cache: Path, verify: bool, as_json: bool) -> None:
    """Show what the file CACHE holds.

    Example: gradformer-dgl info cache/MUTAG.h5 --verify
    """
    from gradformer_dgl.cache import DistanceCache

    opened = DistanceCache(cache)
    facts = opened.info()
    if verify:
        opened.verify()
        facts["verified"] = "all checksums agree"
    if as_json:
        click.echo(json.dumps(facts, default=str))
        return
    # Long, and for a script to read.
    del facts["histogram"]
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_readable(value)}")


def _readable(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_readable(item)}" for key, item in value.items())
    return str(value)
