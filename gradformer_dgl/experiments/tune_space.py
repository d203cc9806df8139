"""Search space of ``tune``: settings, and the values to try for each."""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradformer_dgl.models.registry import MODELS
from gradformer_dgl.nn.registry import DECAYS, READOUTS
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.config import RunConfig, read_settings


@dataclasses.dataclass(frozen=True)
class Range:
    """Values between two ends, which belong to it.

    ``log`` searches evenly over orders of magnitude; the ``step`` of whole numbers is 1 where not given.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None


Space = dict[str, Range | tuple[Any, ...]]
"""For each setting that is searched its range, or its choices."""

# The configuration refuses some combinations of these.
_TOGETHER = (("feat_size", "num_heads"), ("val_fraction", "test_fraction"))

DEFAULT_SPACE: Space = {
    "feat_size": (16, 32, 64, 96),
    "num_layers": Range(1, 6),
    "lr": Range(1e-4, 1e-2, log=True),
    "weight_decay": Range(1e-6, 1e-2, log=True),
    "batch_size": (16, 32, 64, 128),
    "dropout": Range(0.0, 0.5),
    "attn_drop": Range(0.0, 0.6),
    "gamma": Range(0.2, 1.0),
    "hop": Range(0.0, 8.0),
    "readout": tuple(READOUTS),
}
"""Narrower than the ranges of the options, which admit all that can be trained."""
_WL_SPACE: Space = {
    **{name: DEFAULT_SPACE[name] for name in ("lr", "weight_decay", "batch_size")},
    "wl_rounds": Range(1, 8),
    "wl_counted": (False, True),
    "wl_dropout": Range(0.0, 0.9),
}


def default_space(config: RunConfig, level: str = "graph") -> Space:
    """Return the settings worth a search: those that the model has a use for; only graphs have a readout."""
    if config.model == "wl":
        return dict(_WL_SPACE)
    model = MODELS.part(config.model)
    decay = model.traits.get("changed", {}).get("decay", config.decay)
    decays = "changed" in model.traits and model.traits.get("attention", True)
    used = {option.name for option in DECAYS.part(decay).options} if decays else set()
    unused = {option.name for option in DECAYS.all_options()} - used
    if not model.traits.get("attention", True):
        unused.add("attn_drop")
    if level != "graph":
        unused.add("readout")
    return {name: values for name, values in DEFAULT_SPACE.items() if name not in unused}


def read_space(file: Path) -> Space:
    """Read a search space from a YAML file.

    Each key is a setting; its value a list of choices, or a table with ``low`` and ``high``, and
    ``log: true`` or ``step`` where wanted.
    """
    space: Space = {}
    for name, value in read_settings(file).items():
        if isinstance(value, list) and value:
            space[name] = tuple(value)
        elif isinstance(value, Mapping) and {"low", "high"} <= value.keys() <= {"low", "high", "log", "step"}:
            space[name] = Range(**value)
        else:
            raise ConfigError(
                f"{file}: {name} takes a list of choices, or a table such as "
                "{low: 0.001, high: 0.1, log: true}"
            )
    if not space:
        raise ConfigError(f"{file} has no setting to search")
    return space


def check_space(space: Space, config: RunConfig) -> None:
    """Refuse a space with settings that there are not, or values that a run with ``config`` would refuse."""
    candidates: dict[str, list[Any]] = {}
    for name, values in space.items():
        present = getattr(config, name, None)
        config.updated({name: present})
        if isinstance(values, Range):
            _check_range(name, values, present)
            candidates[name] = _ends(values, present)
        else:
            candidates[name] = list(values)
    # Each value by itself, but for those that have to go together.
    for names in _TOGETHER:
        group = {name: candidates.pop(name) for name in names if name in candidates}
        for combination in itertools.product(*group.values()):
            config.updated(dict(zip(group, combination, strict=True)))
    for name, choices in candidates.items():
        for value in choices:
            config.updated({name: value})


def contains(values: Range | tuple[Any, ...], value: Any) -> bool:
    """Return whether a value is one of the choices, or lies on the range."""
    if not isinstance(values, Range):
        return value in values
    if not values.low <= value <= values.high:
        return False
    steps = 0.0 if values.step is None else (value - values.low) / values.step
    return abs(steps - round(steps)) < 1e-9


def _check_range(name: str, values: Range, present: Any) -> None:
    ends = (values.low, values.high)
    if isinstance(present, bool | str) or any(isinstance(end, bool | str) for end in ends):
        raise ConfigError(f"{name} has no range: give a list of choices")
    if isinstance(present, int) and any(end != int(end) for end in ends):
        raise ConfigError(f"{name} takes whole numbers, not {values.low:g} to {values.high:g}")
    if values.low > values.high:
        raise ConfigError(f"the range of {name} ends at {values.high:g}, before it begins at {values.low:g}")
    if values.log and (values.low <= 0 or values.step is not None):
        raise ConfigError(f"the range of {name} is logarithmic: it begins above 0 and has no step")
    if values.step is not None and values.step <= 0:
        raise ConfigError(f"the step of {name} is above 0, not {values.step:g}")


def _ends(values: Range, present: Any) -> list[Any]:
    if not isinstance(present, int):
        return [float(values.low), float(values.high)]
    if values.log:
        return [int(values.low), int(values.high)]
    return list(range(int(values.low), int(values.high) + 1, int(values.step or 1)))
