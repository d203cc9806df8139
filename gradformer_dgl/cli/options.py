"""Options that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

from gradformer_dgl.cli.help import (
    ExplainedOption,
    GuessingChoice,
    PartChoice,
    complete_dataset,
    complete_preset,
)
from gradformer_dgl.data.catalog import reader_for
from gradformer_dgl.data.options import DATA_OPTIONS, DataOptions
from gradformer_dgl.data.readers.csv_table import find_csv, read_header
from gradformer_dgl.support.errors import DataError
from gradformer_dgl.support.registry import Option, Part, Registry
from gradformer_dgl.training.config import (
    OLD_FLAGS,
    REMOVED,
    RENAMED,
    WL_APART,
    RunConfig,
    all_options,
    load_preset,
    preset_for,
    read_settings,
)

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
    help="Folder of caches, DIR/NAME.h5.",
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
    """Add one option for each setting of :class:`RunConfig`, and ``--set`` for those of a part of one's own.

    The command gets the settings that are given as keyword arguments.
    """

    @functools.wraps(command)
    def with_settings(*arguments: Any, own: tuple[str, ...] = (), **given: Any) -> Any:
        values = {option.name: given.pop(option.name) for option in all_options()}
        settings = {name: value for name, value in values.items() if value is not None}
        return command(*arguments, **given, **settings, **dict(_parsed(text) for text in own))

    decorated: Callable[..., Any] = with_settings
    add = functools.partial(
        click.option, cls=ExplainedOption, heading="Settings, over those of the preset", default=None
    )
    decorated = add(
        "--set",
        "own",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set an option of a part of your own, such as --decay my_module:MyDecay.",
    )(decorated)
    for old, new in RENAMED.items():
        decorated = _old_option(old, f"{_flag(old)} is {_flag(new)} now")(decorated)
    for old in REMOVED:
        decorated = _old_option(old, f"{_flag(old)} is gone: {WL_APART}")(decorated)
    for option in reversed(all_options()):
        decorated = add(
            f"{option.flag}/--no-{option.flag[2:]}" if option.kind is bool else option.flag,
            option.name,
            type=_type_of(option),
            help=option.help[0].upper() + option.help[1:] + ".",
        )(decorated)
    return decorated


def _type_of(option: Option) -> Any:
    if option.choices is None:
        return option.kind
    names = (*option.choices, *(["none"] if option.optional and "none" not in option.choices else []))
    return PartChoice(names) if isinstance(option.choices, Registry) else GuessingChoice(names)


def _parsed(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--set takes NAME=VALUE, not {text!r}")
    try:
        return name.replace("-", "_"), yaml.safe_load(value)
    except yaml.YAMLError:
        raise click.UsageError(f"--set {name}: {value!r} is no value") from None


def _old_option(old: str, message: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a hidden option of version 0.1.0 that says what took its place."""

    def refuse(ctx: click.Context, param: click.Parameter, value: object) -> None:
        if value is not None:
            raise click.UsageError(message, ctx)

    declaration = f"{_flag(old)}/--no-{_flag(old)[2:]}" if old in OLD_FLAGS else _flag(old)
    return click.option(declaration, hidden=True, expose_value=False, default=None, callback=refuse)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _data_option(option: Option) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    several = option.kind is tuple
    choices = option.choices if isinstance(option.choices, tuple) else None
    return click.option(
        option.flag.removesuffix("s") if several else option.flag,
        option.name,
        cls=ExplainedOption,
        heading="Data of your own",
        multiple=several,
        type=GuessingChoice(choices) if choices else str,
        metavar=None if choices else "NAME",
        help=option.help[0].upper() + option.help[1:] + ("" if option.help.endswith("]") else "."),
    )


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of :class:`DataOptions`, which the command gets as one, ``data_options``."""

    @functools.wraps(command)
    def with_options(*arguments: Any, **options: Any) -> Any:
        given = {option.name: options.pop(option.name) for option in DATA_OPTIONS}
        return command(*arguments, data_options=DataOptions(**given), **options)

    decorated: Callable[..., Any] = with_options
    for option in reversed(DATA_OPTIONS):
        decorated = _data_option(option)(decorated)
    return decorated


def check_targets(dataset: str, data_root: Path | None, data_options: DataOptions) -> None:
    """Ask for the targets of a CSV file where none are said.

    Raises
    ------
    DataError
        Before the molecules are read, which takes longer.
    """
    given = data_options.given()
    reader = reader_for(dataset, given.get("reader"))
    if reader is not None and reader.name == "csv" and "target_columns" not in given:
        file = find_csv(dataset, data_root)
        raise DataError(
            f"{file}: choose what to predict, --target-column from {', '.join(read_header(file))}"
        )


def lasting_name(dataset: str, data_root: Path | None, found: str, data_options: DataOptions) -> str:
    """Return the name under which other processes, in other folders too, find a data set again.

    Parameters
    ----------
    dataset : str
        The name that was given.
    data_root : Path, optional
        The data folder.
    found : str
        The name of the data set that was found.
    data_options : DataOptions
        The options that were given.
    """
    if _is_named(reader_for(dataset, data_options.given().get("reader"))):
        return found
    file = find_csv(dataset, data_root)
    return str(file.resolve()) if file.exists() else dataset


def preset_of(dataset: str, found: str, data_options: DataOptions) -> str:
    """Return the preset of a data set: its own, or that of its reader."""
    reader = reader_for(dataset, data_options.given().get("reader"))
    of_reader: str = "default" if reader is None else reader.traits.get("preset", "default")
    return preset_for(found, of_reader) if _is_named(reader) else of_reader


def chosen_config(
    dataset: str,
    found: str,
    data_options: DataOptions,
    preset: str | None,
    file: Path | None,
    settings: dict[str, Any],
) -> RunConfig:
    """Return the settings of a command: the preset, over it a YAML file, over that single options."""
    config = load_preset(preset or preset_of(dataset, found, data_options))
    return config.updated({} if file is None else read_settings(file)).updated(settings)


def _is_named(reader: Part | None) -> bool:
    """Return whether a reader takes names of a catalogue, and not what a user has."""
    return reader is None or "datasets" in reader.traits


def cache_file(cache_dir: Path, dataset: str) -> Path:
    """Return the cache file of a data set."""
    return cache_dir / f"{dataset}.h5"


def chosen_device(name: str) -> str:
    """Return the device that the option names; see :func:`~gradformer_dgl.training.devices.choose_device`."""
    from gradformer_dgl.training.devices import choose_device

    return choose_device(name)
