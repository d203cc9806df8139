"""Options that several commands share."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gradformer_dgl.errors import ConfigError
from gradformer_dgl.training.config import RunConfig

data_root = click.option(
    "--data-root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the raw data, DIR/NAME/NAME.zip or unpacked; what is missing is downloaded into it.",
)
cache_dir = click.option(
    "--cache-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("cache"),
    show_default=True,
    help="Folder of the caches; the file is DIR/NAME.h5.",
)
jobs = click.option(
    "--jobs", type=click.IntRange(min=-1), default=None, help="Workers; -1 takes one per processor."
)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add one option per setting of :class:`RunConfig`; those not given are None."""
    for field in reversed(dataclasses.fields(RunConfig)):
        name, kind = "--" + field.name.replace("_", "-"), type(field.default)
        declaration = f"{name}/--no-{name[2:]}" if kind is bool else name
        choices = field.metadata["choices"]
        command = click.option(
            declaration,
            field.name,
            type=click.Choice(choices) if choices else kind,
            default=None,
            help=field.metadata["help"][0].upper() + field.metadata["help"][1:] + ".",
        )(command)
    return command


def cache_file(cache_dir: Path, dataset: str) -> Path:
    """Where the distances of a data set lie."""
    return cache_dir / f"{dataset}.h5"


def chosen_device(name: str) -> str:
    """Turn the option into a device that is there.

    Raises
    ------
    ConfigError
        For a device that torch or DGL cannot use here.
    """
    from gradformer_dgl.training.devices import choose_device

    if name != "auto" and name != "cpu" and not name.startswith("cuda"):
        raise ConfigError(f"--device is auto, cpu, cuda or cuda:N, not {name!r}")
    return choose_device(name)
