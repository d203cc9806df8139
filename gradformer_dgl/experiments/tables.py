"""What each table consists of: data sets, models and settings, and the experiments that follow from them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from gradformer_dgl.data import dataset_names
from gradformer_dgl.data.readers.tu_names import TU_NAMES
from gradformer_dgl.experiments.paper import DEPTH, LOW_RESOURCE, MAIN, PaperNumbers
from gradformer_dgl.support.did_you_mean import nearest
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.config import RunConfig, load_preset, preset_for, preset_names

PRESETS = ("published", "tuned")
PRESET = "preset"
"""The setting that departs from a preset in nothing."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One way in which a table departs from the preset.

    Parameters
    ----------
    label : str
        As the table names it.
    changes : mapping of str to Any
        Settings of :class:`RunConfig` in place of the preset's.
    """

    label: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Table:
    """What a table compares.

    Parameters
    ----------
    name, title : str
        Name on the command line and heading.
    datasets, models : tuple of str
        Those of the table where no others are asked for.
    settings : tuple of Setting
        Ways to depart from the preset; every data set and model is trained with each.
    axis : str, optional
        The setting that is varied: the horizontal axis of the figure.
    paper : PaperNumbers
        What the paper reports.
    notes : tuple of str
        Sentences under the table.
    data_notes : mapping of str to str
        Sentences about a data set, where the table has results of it.
    tuned : mapping of str to str
        The tuned preset of a data set, where the table has another than ``NAME-tuned``.
    gathers : bool
        Whether the table has a line for all results that there are of it, with whatever preset and epochs,
        and not for those alone that are asked for.
    """

    name: str
    title: str
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    settings: tuple[Setting, ...] = (Setting(PRESET),)
    axis: str | None = None
    paper: PaperNumbers = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    data_notes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tuned: Mapping[str, str] = dataclasses.field(default_factory=dict)
    gathers: bool = False


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One line of a table: a data set, a model and all its settings, to be trained with several seeds.

    Parameters
    ----------
    dataset, model : str
        Names.
    setting : str
        What distinguishes the line from others of the same table.
    variant : str
        The preset and every setting that is not the preset's: equal experiments of different tables have the
        same variant, and share their trainings.
    config : RunConfig
        All settings.
    folds : int, optional
        Folds of a cross-validation; without it the split follows from the seed.
    paper : float, optional
        What the paper reports.
    preset_epochs : int, optional
        Epochs of the preset, where these are others.
    """

    dataset: str
    model: str
    setting: str
    variant: str
    config: RunConfig
    folds: int | None = None
    paper: float | None = None
    preset_epochs: int | None = None

    @property
    def title(self) -> str:
        """Data set, variant and model in a few words."""
        return f"{self.dataset} {self.variant} {self.model}"

    @property
    def origin(self) -> str:
        """Which of :data:`PRESETS` it starts from."""
        return self.variant.partition(",")[0]

    @property
    def is_shortened(self) -> bool:
        """Whether it has fewer epochs than the preset."""
        return self.preset_epochs is not None and self.config.epochs < self.preset_epochs

    @property
    def label(self) -> str:
        """What tells it from other lines of the same data set and model."""
        if self.setting != PRESET:
            return self.setting
        return self.origin if self.preset_epochs is None else f"{self.origin}, {self.config.epochs} epochs"


_GENERATED = "graphs are generated from the published recipe: of the same distribution, not the same graphs."
_TABLES = (
    Table(
        "main",
        "Main results",
        ("NCI1", "PROTEINS", "MUTAG"),
        ("gradformer", "graphgps", "gin"),
        paper=MAIN,
        data_notes={
            "ZINC": (
                "ZINC: validation and test are the published molecules; the 10,000 training molecules of the "
                "results here are others of the same distribution than the published ones."
            ),
            "CLUSTER": f"CLUSTER: {_GENERATED}",
            "PATTERN": f"PATTERN: {_GENERATED} The accuracy is the mean of those of the two classes.",
        },
        gathers=True,
    ),
    Table(
        "depth",
        "Depth",
        ("NCI1", "CLUSTER"),
        ("gradformer", "graphgps"),
        tuple(
            Setting(f"{layers} layers", {"num_layers": layers, "lr": 3e-4, "wl_rounds": 0})
            for layers in (4, 8, 12, 16, 24)
        ),
        axis="num_layers",
        paper=DEPTH,
        notes=(
            "The learning rate is 3e-4. With the published 1e-3 the training loss of 24 layers on NCI1 "
            "(Gradformer, seed 0) fell to 0.52 in 12 epochs, and rose to 0.87 until the 21st.",
            "What is compared is the network, without the colours that tuned settings may have beside it.",
            "On NCI1 the paper reports that GraphGPS loses 14.4 points when deepened to 24 layers.",
        ),
    ),
    Table(
        "low-resource",
        "Few training graphs",
        ("NCI1",),
        ("gradformer", "graphgps"),
        tuple(
            Setting(f"{share:.0%} of the training graphs", {"train_share": share})
            for share in (0.05, 0.1, 0.25)
        ),
        axis="train_share",
        paper=LOW_RESOURCE,
        tuned={"NCI1": "nci1-few-tuned"},
    ),
    Table(
        "ablation",
        "Ablation",
        ("NCI1",),
        ("gradformer",),
        (
            Setting("full"),
            Setting("without decay", {"decay": "none"}),
            Setting("threshold tau not learned", {"learn_hop": False}),
            Setting("without message passing", {"message_passing": "none"}),
            Setting("resistance in place of hops", {"distance": "resistance"}),
        ),
    ),
    Table(
        "efficiency",
        "Time and memory",
        ("NCI1",),
        ("gradformer", "graphgps", "gin"),
        paper=MAIN,
        notes=(
            "Time of an epoch (training and validation, the median) and peak memory are measured in a "
            "process of its own for each model, with one thread and nothing else of this command at work. "
            "Peak memory is the largest resident set, libraries included, or what torch held on a GPU; in "
            "brackets what training added.",
        ),
    ),
    Table(
        "decay",
        "The decay",
        ("NCI1",),
        ("gradformer",),
        (
            *(Setting(f"gamma {gamma:g}", {"gamma": gamma}) for gamma in (0.2, 0.4, 0.6, 0.8, 1.0)),
            *(Setting(f"tau begins at {hop:g}", {"hop": hop}) for hop in (0.0, 2.0, 5.0, 8.0)),
        ),
    ),
)
TABLES = {table.name: table for table in _TABLES}
"""The tables by name."""


def table_named(name: str) -> Table:
    """Return a table.

    Raises
    ------
    ConfigError
        Where there is none of that name.

    Examples
    --------
    >>> from gradformer_dgl.experiments.tables import table_named
    >>> table_named("depth").axis
    'num_layers'
    """
    if name not in TABLES:
        raise ConfigError(f"no table {name!r}: there are {', '.join(TABLES)}")
    return TABLES[name]


def experiments_of(
    table: Table,
    datasets: Sequence[str] = (),
    models: Sequence[str] = (),
    preset: str = "published",
    epochs: int | None = None,
    folds: int | None = None,
) -> list[Experiment]:
    """List the experiments of a table, line by line.

    Parameters
    ----------
    table : Table
        What is compared.
    datasets, models : sequence of str
        Names; those of the table where empty.
    preset : {"published", "tuned"}
        Settings to start from; ``"tuned"`` are those of ``NAME-tuned``, or of the table, where they exist.
    epochs : int, optional
        In place of the preset's; fewer of them shorten its warm-up in proportion.
    folds : int, optional
        Folds of a cross-validation in place of random splits.

    Raises
    ------
    ConfigError
        For a model that is not known, or a value outside its range.

    Examples
    --------
    >>> from gradformer_dgl.experiments.tables import TABLES, experiments_of
    >>> [line.variant for line in experiments_of(TABLES["depth"], ["nci1"], ["gradformer"], epochs=3)][:2]
    ['published,epochs=3,lr=0.0003', 'published,epochs=3,lr=0.0003,num_layers=8']
    """
    experiments = []
    for dataset in dict.fromkeys(canonical_name(name) for name in datasets or table.datasets):
        origin, base = _base(table, dataset, preset)
        common = {} if epochs is None else _shortened(base, epochs)
        for model in dict.fromkeys(models or table.models):
            for setting in table.settings:
                config = base.updated({**setting.changes, **common, "model": model})
                value = setting.changes.get(table.axis) if table.axis else None
                experiments.append(
                    Experiment(
                        dataset,
                        model,
                        setting.label,
                        _variant(origin, base, config, folds),
                        config,
                        folds,
                        table.paper.get((dataset, model, value)),
                        None if config.epochs == base.epochs else base.epochs,
                    )
                )
    return experiments


def canonical_name(dataset: str) -> str:
    """Spell the name of a data set as the catalogue does; upper and lower case do not matter.

    Raises
    ------
    ConfigError
        Where it cannot be a name but is close to one.

    Examples
    --------
    >>> from gradformer_dgl.experiments.tables import canonical_name
    >>> canonical_name("nci1"), canonical_name("cluster")
    ('NCI1', 'CLUSTER')
    """
    known = {name.casefold(): name for name in (*TU_NAMES, *dataset_names())}
    if not dataset or "/" in dataset or dataset.startswith("."):
        guess = nearest(dataset.casefold(), known)
        hint = f"did you mean {known[guess]}?" if guess else f"there are {', '.join(dataset_names())}"
        raise ConfigError(f"{dataset!r} is no name of a data set: {hint}")
    return known.get(dataset.casefold(), dataset)


def _base(table: Table, dataset: str, preset: str) -> tuple[str, RunConfig]:
    tuned = table.tuned.get(dataset, f"{dataset.lower()}-tuned")
    if preset == "tuned" and tuned in preset_names():
        return preset, load_preset(tuned)
    return "published", load_preset(preset_for(dataset))


def _shortened(base: RunConfig, epochs: int) -> dict[str, Any]:
    """The settings with which to train for so many epochs in place of the preset's."""
    warmup = base.warmup_epochs * epochs / base.epochs
    if base.schedule == "constant" or warmup >= base.warmup_epochs:
        return {"epochs": epochs}
    return {"epochs": epochs, "warmup_epochs": warmup}


def _variant(origin: str, base: RunConfig, config: RunConfig, folds: int | None) -> str:
    before, parts = base.as_dict(), []
    for name, value in sorted(config.as_dict().items()):
        if name != "model" and value != before[name]:
            parts.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}".lower())
    if folds is not None:
        parts.append(f"folds={folds}")
    return ",".join([origin, *parts])
