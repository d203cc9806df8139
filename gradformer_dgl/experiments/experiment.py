"""Experiments: the lines of a table, each with all its settings."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from gradformer_dgl.data.catalog import canonical_name, dataset_names, known_names
from gradformer_dgl.experiments.tables import PRESET, Table
from gradformer_dgl.models.registry import MODELS
from gradformer_dgl.support.did_you_mean import nearest
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.config import RunConfig, load_preset, preset_for, preset_names


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One line of a table: a data set, a model and all its settings, to be trained with several seeds.

    The ``variant`` is the preset and every setting that is not the preset's: equal experiments of different
    tables have the same variant, and share their trainings. ``setting`` tells the line from others of its
    table; ``folds`` are those of a cross-validation, without which the split follows from the seed; ``paper``
    is the paper's score, and ``preset_epochs`` the epochs of the preset where these are others.
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
        """Name in :data:`~gradformer_dgl.experiments.tables.PRESETS` of the settings it starts from."""
        return self.variant.partition(",")[0]

    @property
    def is_shortened(self) -> bool:
        """True with fewer epochs than the preset."""
        return self.preset_epochs is not None and self.config.epochs < self.preset_epochs

    @property
    def label(self) -> str:
        """Words that tell it from other lines of the same data set and model."""
        if self.setting != PRESET:
            return self.setting
        return self.origin if self.preset_epochs is None else f"{self.origin}, {self.config.epochs} epochs"


def experiments_of(
    table: Table,
    datasets: Sequence[str] = (),
    models: Sequence[str] = (),
    preset: str = "published",
    epochs: int | None = None,
    folds: int | None = None,
) -> list[Experiment]:
    """List the experiments of a table, line by line, for data sets and models, or for the table's own.

    The ``preset`` is ``"published"``, or ``"tuned"``: the settings of ``NAME-tuned``, or of the table, where
    they exist. Fewer ``epochs`` than the preset's shorten its warm-up in proportion; ``folds`` replaces
    random splits by a cross-validation.
    """
    experiments = []
    for dataset in dict.fromkeys(dataset_named(name) for name in datasets or table.datasets):
        for model in dict.fromkeys(models or table.models):
            origin, base = _base(table, dataset, model, preset)
            common = {} if epochs is None else _shortened(base, epochs)
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


def dataset_named(name: str) -> str:
    """Return the name of a data set as the catalogue spells it; upper and lower case do not matter."""
    if not name or "/" in name or name.startswith("."):
        known = {each.casefold(): each for each in known_names()}
        guess = nearest(name.casefold(), known)
        hint = f"did you mean {known[guess]}?" if guess else f"there are {', '.join(dataset_names())}"
        raise ConfigError(f"{name!r} is no name of a data set: {hint}")
    return canonical_name(name)


def _base(table: Table, dataset: str, model: str, preset: str) -> tuple[str, RunConfig]:
    own = MODELS.part(model).traits.get("preset")
    if own is not None:
        return own, load_preset(own)
    tuned = table.tuned.get(dataset, f"{dataset.lower()}-tuned")
    if preset == "tuned" and tuned in preset_names():
        return preset, load_preset(tuned)
    return "published", load_preset(preset_for(dataset))


def _shortened(base: RunConfig, epochs: int) -> dict[str, Any]:
    """Return the settings with which to train for so many epochs in place of the preset's."""
    warmup = base.warmup_epochs * epochs / base.epochs
    if base.schedule == "constant" or warmup >= base.warmup_epochs:
        return {"epochs": epochs}
    return {"epochs": epochs, "warmup_epochs": warmup}


def _variant(origin: str, base: RunConfig, config: RunConfig, folds: int | None) -> str:
    before, parts = base.as_dict(), []
    for name, value in sorted(config.as_dict().items()):
        if name != "model" and value != before.get(name):
            parts.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}".lower())
    if folds is not None:
        parts.append(f"folds={folds}")
    return ",".join([origin, *parts])
