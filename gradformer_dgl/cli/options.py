"""Options that several commands share."""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from gradformer_dgl.data import GraphDataset
    from gradformer_dgl.training.run_spec import RunSpec
    from gradformer_dgl.training.trained_run import TrainedRun

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FILE = click.Path(path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def number(flag: str, help: str, default: int | None = None, low: int = 1) -> Decorator:
    """Return an option that takes a whole number from ``low`` on."""
    kind = click.IntRange(min=low)
    return click.option(flag, type=kind, default=default, show_default=default is not None, help=help)


def choice(flag: str, names: Sequence[str], help: str, default: str | None = None) -> Decorator:
    """Return an option that takes one of some names, by default the first."""
    kind = GuessingChoice(names)
    return click.option(flag, type=kind, default=default or names[0], show_default=True, help=help)


dataset = click.argument("dataset", shell_complete=complete_dataset)
preset = click.option(
    "--preset",
    metavar="NAME",
    shell_complete=complete_preset,
    help="Settings that come with the package. [default: those for DATASET]",
)
config_file = click.option("--config", type=FILE, help="YAML file of settings, over the preset.")
data_root = click.option(
    "--data-root",
    type=FOLDER,
    metavar="DIR",
    help="Folder of the raw data, DIR/NAME/NAME.zip or unpacked; what is missing is downloaded into it.",
)
cache_dir = click.option(
    "--cache-dir",
    type=FOLDER,
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


def jobs_option(default: int, callback: Callable[..., int] | None = None) -> Decorator:
    """Return the option ``--jobs`` with the default of a command."""
    return click.option(
        "--jobs",
        type=_Workers(),
        default=default,
        show_default=True,
        callback=callback,
        help="Workers; -1: one per processor.",
    )


def _counted(ctx: click.Context, param: click.Parameter, jobs: int) -> int:
    if jobs != -1:
        return jobs
    from gradformer_dgl.training.threads import available_processors

    return available_processors()


jobs = jobs_option(1, _counted)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")


@dataclass(frozen=True)
class ChosenSettings:
    """A preset and a YAML file, where they are given, and the settings ``given`` as options."""

    preset: str | None
    file: Path | None
    given: dict[str, Any]

    def over(self, preset: str) -> RunConfig:
        """Return the settings over those of a preset, unless another one is chosen."""
        return load_preset(self.preset or preset).updated(self._of_file).updated(self.given)

    @functools.cached_property
    def _of_file(self) -> dict[str, Any]:
        return {} if self.file is None else read_settings(self.file)

    def warn_of_idle(self, preset: str, dataset: "GraphDataset") -> None:
        """Say which of the settings that are given, and not as in the preset, have no effect."""
        from gradformer_dgl.training.idle import idle_settings

        base, config = load_preset(self.preset or preset), self.over(preset)
        changed = {name for name, value in self._of_file.items() if base.get(name) != value}
        idle = [
            f"{name} ({reason})"
            for name, reason in idle_settings(config, dataset).items()
            if name in self.given or name in changed
        ]
        if idle:
            logging.getLogger("gradformer_dgl").warning("without effect: %s", ", ".join(idle))


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add one option for each setting of :class:`RunConfig`, and ``--set`` for those of a part of one's own.

    The command gets them as one, ``settings``, together with those of its options `preset` and `config_file`.
    """

    @functools.wraps(command)
    def with_settings(
        *arguments: Any, preset: str | None, config: Path | None, own: tuple[str, ...], **options: Any
    ) -> Any:
        values = {option.name: options.pop(option.name) for option in all_options()}
        values |= dict(_parsed(text) for text in own)
        given = {name: value for name, value in values.items() if value is not None}
        return command(*arguments, settings=ChosenSettings(preset, config, given), **options)

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


def _old_option(old: str, message: str) -> Decorator:
    """Return a hidden option of version 0.1.0 that says what took its place."""

    def refuse(ctx: click.Context, param: click.Parameter, value: object) -> None:
        if value is not None:
            raise click.UsageError(message, ctx)

    declaration = f"{_flag(old)}/--no-{_flag(old)[2:]}" if old in OLD_FLAGS else _flag(old)
    return click.option(declaration, hidden=True, expose_value=False, default=None, callback=refuse)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _data_option(option: Option) -> Decorator:
    several = option.kind is tuple
    choices = option.choices if isinstance(option.choices, tuple) else None
    flag = option.flag.removesuffix("s") if several else option.flag
    switch = option.kind is bool
    return click.option(
        f"{flag}/--no-{flag[2:]}" if switch else flag,
        option.name,
        cls=ExplainedOption,
        heading="Data of your own",
        multiple=several,
        default=None,
        type=bool if switch else GuessingChoice(choices) if choices else str,
        metavar=None if choices or switch else "NAME",
        help=option.help[0].upper() + option.help[1:] + ("" if option.help.endswith("]") else "."),
    )


@dataclass(frozen=True)
class ChosenData:
    """A data set as the command line names it: its options, and the folders of its raw data and its cache."""

    dataset: str
    root: Path | None
    cache_dir: Path
    options: DataOptions

    @property
    def reader(self) -> Part | None:
        """The reader that takes the data set; None for a name of a catalogue."""
        return reader_for(self.dataset, self.options.given().get("reader"))

    @property
    def is_named(self) -> bool:
        """True where the reader takes names of a catalogue, and not what a user has."""
        return self.reader is None or "datasets" in self.reader.traits

    def load(self, **more: Any) -> "GraphDataset":
        """Read the data set, without distances."""
        from gradformer_dgl.data import load_dataset

        return load_dataset(self.dataset, self.root, **more, **self.options.given())

    def load_with_targets(self) -> "GraphDataset":
        """Read the data set; ask for the targets of a CSV file, where none are said, before its molecules."""
        is_csv = self.reader is not None and self.reader.name == "csv"
        if is_csv and "target_columns" not in self.options.given():
            file = find_csv(self.dataset, self.root)
            columns = ", ".join(read_header(file))
            raise DataError(f"{file}: choose what to predict, --target-column from {columns}")
        return self.load()

    def lasting_name(self, found: str) -> str:
        """Return the name under which other processes, in other folders too, find the data set ``found``."""
        if self.is_named:
            return found
        file = find_csv(self.dataset, self.root)
        return str(file.resolve()) if file.exists() else self.dataset

    def preset(self, found: str) -> str:
        """Return the preset of the data set ``found``: its own, or that of its reader."""
        of_reader: str = "default" if self.reader is None else self.reader.traits.get("preset", "default")
        return preset_for(found, of_reader) if self.is_named else of_reader

    def cache_file(self, found: str) -> Path:
        """Return the cache file of the data set ``found``."""
        return self.cache_dir / f"{found}.h5"

    def run_spec(self, found: str, **more: Any) -> "RunSpec":
        """Return the spec of a run on the data set ``found``, with more of its fields."""
        from gradformer_dgl.training.run_spec import RunSpec

        return RunSpec(
            dataset=self.lasting_name(found),
            data_options=self.options,
            data_root=None if self.root is None else str(self.root.resolve()),
            cache=str(self.cache_file(found).resolve()),
            **more,
        )


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of :class:`DataOptions`, which the command gets as one, ``data_options``."""

    @functools.wraps(command)
    def with_data(
        *arguments: Any, dataset: str, data_root: Path | None, cache_dir: Path, **options: Any
    ) -> Any:
        given = DataOptions(**{option.name: options.pop(option.name) for option in DATA_OPTIONS})
        return command(*arguments, data=ChosenData(dataset, data_root, cache_dir, given), **options)

    decorated: Callable[..., Any] = cache_dir(with_data)
    for option in reversed(DATA_OPTIONS):
        decorated = _data_option(option)(decorated)
    return dataset(data_root(decorated))


trust = click.option(
    "--trust", is_flag=True, help="Run the Python code that RUN names, such as a decay MODULE:CLASS."
)


def trained_run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options with which the command's ``open_run`` opens a run folder: data, distances, device."""

    @functools.wraps(command)
    def with_open_run(
        *arguments: Any, data_root: str | None, cache: str | None, device: str, trust: bool, **options: Any
    ) -> Any:
        def open_run(folder: Path) -> "TrainedRun":
            from gradformer_dgl.training import trained_run

            return trained_run.open_run(folder, data_root, cache, chosen_device(device), trust)

        return command(*arguments, open_run=open_run, **options)

    root = click.option("--data-root", type=click.Path(), help="Raw data. [default: as in training]")
    distances = click.option("--cache", type=click.Path(), help="Distances. [default: as in training]")
    return root(distances(device(trust(with_open_run))))


def chosen_device(name: str) -> str:
    """Return the device that the option names; see :func:`~gradformer_dgl.training.devices.choose_device`."""
    from gradformer_dgl.training.devices import choose_device

    return choose_device(name)
