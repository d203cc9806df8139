"""Options that several commands share."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gradformer_dgl.cli.help import ExplainedOption, GuessingChoice, complete_dataset, complete_preset
from gradformer_dgl.data.catalog import is_one_graph
from gradformer_dgl.data.options import TASKS, TU_FEATURES, DataOptions
from gradformer_dgl.data.sources import find_csv, is_csv, is_function
from gradformer_dgl.support.errors import DataError
from gradformer_dgl.training.config import RunConfig, preset_for

dataset = click.argument("dataset", shell_complete=complete_dataset)
preset = click.option(
    "--preset",
    metavar="NAME",
    shell_complete=complete_preset,
    help="Settings that come with the package. [default: those for DATASET]",
)
data_root = click.option(
    "--data-root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the raw data, DIR/NAME/NAME.zip or unpacked; what is missing is downloaded into it.",
)
cache_dir = click.option(
    "--cache-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("cache"),
    show_default=True,
    metavar="DIR",
    help="Folder of the caches, DIR/NAME.h5.",
)


class _Workers(click.types.IntParamType):
    """A number of workers from 1 on, or -1."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or say which ones there are."""
        number: int = super().convert(value, param, ctx)
        if number == 0 or number < -1:
            self.fail(f"{number} is neither a number of workers from 1 on nor -1.", param, ctx)
        return number


def jobs_option(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--jobs`` with the default of a command."""
    return click.option(
        "--jobs",
        type=_Workers(),
        default=default,
        show_default=True,
        help="Workers; -1: one per processor.",
    )


jobs = jobs_option(1)
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
            cls=ExplainedOption,
            heading="Settings, over those of the preset",
            type=GuessingChoice(choices) if choices else kind,
            default=None,
            help=field.metadata["help"][0].upper() + field.metadata["help"][1:] + ".",
        )(command)
    return command


_own_data = functools.partial(click.option, cls=ExplainedOption, heading="Data of your own")
_DATA_OPTIONS = (
    _own_data(
        "--smiles-column", metavar="NAME", help="Column with the molecules of a CSV file. [default: smiles]"
    ),
    _own_data(
        "--target-column",
        "target_columns",
        multiple=True,
        metavar="NAME",
        help="Column of a CSV file to predict; may be repeated. An empty cell or nan is a missing label.",
    ),
    _own_data(
        "--split-column",
        metavar="NAME",
        help="Column of a CSV file that says train, val (valid, validation) or test. [default: random]",
    ),
    _own_data(
        "--task",
        type=GuessingChoice(TASKS),
        help="What is predicted. For a CSV file told by labels that are fractions (regression), 0 and 1 "
        "(binary; multilabel in several columns) or words (multiclass), for a Python function by labels that "
        "are floats (regression) or single integers (multiclass); others need this option.",
    ),
    _own_data(
        "--node-features",
        metavar="KEY",
        help="Features in ndata of a Python function's graphs, or none. [default: feat, attr, ...]",
    ),
    _own_data(
        "--edge-features",
        metavar="KEY",
        help="Features in edata of a Python function's graphs, or none. [default: feat, attr, ...]",
    ),
    _own_data(
        "--tu-features",
        type=GuessingChoice(TU_FEATURES),
        help="Features of a TU set: labels of nodes and edges, or all, their attributes too. [default: "
        "labels, and attributes where there are none]",
    ),
)


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of :class:`DataOptions`, which the command gets as one, ``data_options``."""

    @functools.wraps(command)
    def with_options(*arguments: Any, **options: Any) -> Any:
        said = {field.name: options.pop(field.name) for field in dataclasses.fields(DataOptions)}
        return command(*arguments, data_options=DataOptions(**said), **options)

    for option in reversed(_DATA_OPTIONS):
        with_options = option(with_options)
    return with_options


def check_targets(dataset: str, data_root: Path | None, said: DataOptions) -> None:
    """Ask for the targets of a CSV file where none are said.

    Raises
    ------
    DataError
        Before the molecules are read, which takes longer.
    """
    if is_csv(dataset) and not said.target_columns:
        from gradformer_dgl.data.readers.csv_table import read_header

        file = find_csv(dataset, data_root)
        raise DataError(
            f"{file}: choose what to predict, --target-column from {', '.join(read_header(file))}"
        )


def lasting_name(dataset: str, data_root: Path | None, found: str) -> str:
    """Return the name under which other processes, in other folders too, find a data set again.

    Parameters
    ----------
    dataset : str
        The name that was given.
    data_root : Path, optional
        The data folder.
    found : str
        The name of the data set that was found.
    """
    if is_csv(dataset):
        return str(find_csv(dataset, data_root).resolve())
    return dataset if is_function(dataset) else found


def preset_of(dataset: str, found: str) -> str:
    """Name of the preset that suits a data set: its own, that for molecules or nodes, or the default one."""
    if is_csv(dataset):
        return "molecules"
    if is_function(dataset):
        return "default"
    return preset_for(found, "nodes" if is_one_graph(found) else "default")


def cache_file(cache_dir: Path, dataset: str) -> Path:
    """Where the distances of a data set lie."""
    return cache_dir / f"{dataset}.h5"


def chosen_device(name: str) -> str:
    """Return the device that the option names; see :func:`~gradformer_dgl.training.devices.choose_device`."""
    from gradformer_dgl.training.devices import choose_device

    return choose_device(name)
