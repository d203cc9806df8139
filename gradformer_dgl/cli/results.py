"""Output of commands on stdout: text for people, or one line of JSON for scripts."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import click

as_json: Callable[..., Any] = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
always_json: Callable[..., Any] = click.option(
    "--json", is_flag=True, expose_value=False, help="Print one line of JSON, as without this option."
)


def print_result(result: Any, text: Sequence[object], as_json: bool) -> None:
    """Print a result: its text for people, or one line of JSON in its place."""
    from gradformer_dgl.support.json_text import json_text

    for line in (json_text(result),) if as_json else text:
        click.echo(str(line))


def print_scores(result: dict[str, Any], text: str) -> None:
    """Print the result of a training, a scoring or a search, and say it to people on stderr."""
    logging.getLogger("gradformer_dgl").info("%s", text)
    print_result(result, (), as_json=True)


def score_text(result: dict[str, Any], part: str = "test") -> str:
    """Return a score in words."""
    several = len(result["runs"]) > 1
    text = f"{part} {result['metric']} {result['mean']:.4g}"
    text += f" ± {result['std']:.2g}" if several else ""
    text += f" {result['unit']}" if result["unit"] else ""
    text += f", {len(result['runs'])} seeds" if several else ""
    if "predicting_the_mean" in result:
        text += f"; predicting the mean: {result['predicting_the_mean']:.4g}"
    return text
