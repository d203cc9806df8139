"""Settings of a run: one flat table, from a preset, a YAML file and single options."""

import functools
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from gradformer_dgl.models.registry import MODELS
from gradformer_dgl.nn.registry import DECAYS, DISTANCE_UNITS, HEADS, MESSAGE_PASSING, READOUTS
from gradformer_dgl.support.did_you_mean import nearest
from gradformer_dgl.support.errors import ConfigError, one_line
from gradformer_dgl.support.registry import Option, Registry, is_code, short_repr
from gradformer_dgl.training.registry import METRICS, SPLITS

TRAINING_OPTIONS = (
    Option("epochs", 100, "passes over the training data", 1, 10**6),
    Option("batch_size", 128, "graphs in a training batch", 1, 10**6),
    Option("lr", 1e-3, "learning rate", 1e-12, 1e3),
    Option("weight_decay", 1e-5, "weight decay", 0, 1e3),
    Option("optimizer", "adamw", "optimiser", choices=("adam", "adamw")),
    Option(
        "schedule",
        "cosine",
        "learning rate over the epochs; reference: as in the published code, constant in an epoch, with a "
        "warm-up from 0 and a cosine so long that it hardly falls",
        choices=("constant", "cosine", "reference"),
    ),
    Option("warmup_epochs", 5.0, "epochs in which the learning rate rises from 0", 0, 10**6),
    Option("gradient_clipping", 1.0, "largest norm of the gradient; 0 does not clip", 0, 1e9),
    Option(
        "ema_decay",
        0.0,
        "decay of the exponential moving average of the weights, which is validated and kept; 0 for none",
        0,
        0.99999,
    ),
    Option("monitor", "metric", "validation score that selects the best epoch", choices=("metric", "loss")),
    Option("monitor_from", 0.0, "fraction of the epochs after which the best one is looked for", 0, 0.999),
    Option(
        "patience", 0, "epochs without a better one after which training ends; 0 trains all epochs", 0, 10**6
    ),
    Option(
        "metric",
        "auto",
        "metric that selects the best epoch and is reported first",
        choices=METRICS,
    ),
    Option("class_weights", False, "weight the classes of a batch by their rarity in the loss"),
    Option("standardize", True, "train a regression on targets of mean 0 and deviation 1"),
    Option(
        "standardize_features",
        True,
        "bring numeric features to mean 0 and deviation 1; columns of zeros and ones stay",
    ),
    Option(
        "precision",
        "fp32",
        "precision of matrix products; bf16: bfloat16 by autocast; tf32: TensorFloat-32 on CUDA, "
        "on a CPU the same as fp32",
        choices=("fp32", "tf32", "bf16"),
    ),
    Option("split", "auto", "graphs for training, validation and testing", choices=SPLITS),
    *SPLITS.all_options(),
    Option(
        "train_fraction",
        1.0,
        "fraction of the training graphs that is used; a smaller one is part of a larger one",
        1e-6,
        1,
    ),
)
"""Settings of the training loop."""

MODEL_OPTIONS = (
    Option(
        "model",
        "gradformer",
        "Gradformer, or a baseline with the same encoders, readout and head. "
        + "; ".join(f"{part.name}: {part.help}" for part in MODELS.values() if part.name != "gradformer")
        + ". Settings of a part that the model does not have, such as gamma for gin, are ignored",
        choices=MODELS,
    ),
    Option("feat_size", 64, "channels of a node", 1, 10**5),
    Option("num_layers", 4, "layers", 1, 10**4),
    Option("num_heads", 4, "attention heads", 1, 10**4),
    Option(
        "message_passing",
        "gin",
        "message passing beside the attention",
        choices=MESSAGE_PASSING,
        optional=True,
    ),
    Option(
        "distance",
        "shortest_path",
        "distance that the decay depends on; resistance: the effective resistance, to a quarter of an edge's",
        choices=tuple(DISTANCE_UNITS),
    ),
    Option("decay", "exponential", "attention mask; none is plain attention", choices=DECAYS),
    *DECAYS.all_options(),
    Option("encoding", "none", "node encoding from the cache, such as rwse:20 or lappe:10"),
    Option("encoding_mode", "add", "how encodings join the node features", choices=("add", "concat")),
    Option("encoding_feat_size", 0, "channels of the encoding where it is concatenated", 0, 10**5),
    Option("encoding_norm", False, "normalise the raw encoding over the batch"),
    *MODELS.all_options(),
    Option("dropout", 0.0, "dropout on the branches of a layer", 0, 0.999),
    Option("attn_drop", 0.5, "dropout on attention weights", 0, 0.999),
    Option("drop_path", 0.0, "chance of skipping the attention branch for a graph", 0, 0.999),
    Option("readout", "sum", "nodes to graph", choices=READOUTS),
    Option("head", "linear", "prediction head", choices=HEADS),
)
"""Settings of the model, those of its parts among them."""

RENAMED = {
    "average": "ema_decay",
    "clip_norm": "gradient_clipping",
    "select_after": "monitor_from",
    "select_by": "monitor",
    "test_share": "test_fraction",
    "train_share": "train_fraction",
    "val_share": "val_fraction",
    "wl_drop": "wl_dropout",
}
"""Settings of version 0.1.0 by the names that they have now."""
REMOVED = ("wl_use", "wl_apart", "wl_share")
"""Settings of version 0.1.0 without a successor."""
OLD_FLAGS = ("wl_apart",)
"""Those of them that are true or false."""
WL_APART = "train `--model wl` and the network apart, and evaluate both runs together"

_WITH_OPTIONS = ("split", "model", "decay", "message_passing", "readout", "head")
"""Settings whose parts may have options of their own."""


def all_options() -> tuple[Option, ...]:
    """Return all settings that come with the package, in the order of the help."""
    return (*TRAINING_OPTIONS, *MODEL_OPTIONS)


class RunConfig(Mapping[str, Any]):
    """All settings of a run. The names are the keys of the YAML files and, with dashes, the options.

    Settings are read as attributes or by name; they do not change. A part ``module:Class`` adds its own
    options to them.

    Parameters
    ----------
    **settings
        Settings that differ from their defaults.

    Raises
    ------
    ConfigError
        For an unknown name, a value outside its range or not among its choices.

    Examples
    --------
    >>> from gradformer_dgl.training.config import RunConfig
    >>> config = RunConfig(epochs=3, gamma=0.5)
    >>> config.gamma, config["epochs"]
    (0.5, 3)
    """

    _values: dict[str, Any]

    def __init__(self, **settings: Any) -> None:
        known = {option.name: option for option in (*all_options(), *_options_of_own_parts(settings))}
        for name in settings:
            if name not in known:
                raise ConfigError(f"no setting is called {short_repr(name)}: {_hint(name, known)}")
        values = {
            name: option.checked(settings[name]) if name in settings else option.default
            for name, option in known.items()
        }
        if values["val_fraction"] + values["test_fraction"] >= 1:
            raise ConfigError("val_fraction and test_fraction leave nothing to train on")
        if values["feat_size"] % values["num_heads"]:
            raise ConfigError(
                f"feat_size {values['feat_size']} is not a multiple of num_heads {values['num_heads']}: "
                "change one"
            )
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"no setting is called {name!r}")
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("settings do not change: use updated()")

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunConfig) and self._values == other._values

    def __repr__(self) -> str:
        changed = (f"{name}={value!r}" for name, value in self.changed().items())
        return f"RunConfig({', '.join(changed)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(RunConfig, **self._values), ()

    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from their defaults."""
        defaults = {option.name: option.default for option in all_options()}
        return {
            name: value
            for name, value in self._values.items()
            if name not in defaults or value != defaults[name]
        }

    def updated(self, settings: Mapping[str, Any]) -> "RunConfig":
        """Return a copy with some settings replaced; an unknown name is refused."""
        return RunConfig(**{**self._values, **settings})

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return dict(self._values)

    def matches(self, settings: Any) -> bool:
        """Return whether saved settings are these; one that an older version lacks has its default."""
        if not isinstance(settings, Mapping):
            return False
        return RunConfig().as_dict() | renamed(settings) == self.as_dict()

    @property
    def distance_unit(self) -> float:
        """Length of one step of the distances: a hop, or a fraction of an edge's resistance."""
        return DISTANCE_UNITS[self.distance]

    @property
    def extra_distances(self) -> tuple[str, ...]:
        """Names of the other distances that the cache must hold."""
        return () if self.distance == "shortest_path" else (self.distance,)

    @property
    def encodings(self) -> tuple[str, ...]:
        """Names of the encodings that the cache must hold."""
        return () if self.encoding == "none" else (self.encoding,)


def _options_of_own_parts(settings: Mapping[str, Any]) -> list[Option]:
    registries: dict[str, Registry] = {
        option.name: option.choices for option in all_options() if isinstance(option.choices, Registry)
    }
    found: list[Option] = []
    for name in _WITH_OPTIONS:
        value = settings.get(name)
        if isinstance(value, str) and value not in registries[name] and is_code(value):
            found += registries[name].part(value).options
    return found


def _hint(name: object, known: Mapping[str, Option]) -> str:
    if name in RENAMED:
        return f"it is {RENAMED[str(name)]} now"
    if name in REMOVED:
        return WL_APART
    guess = nearest(name, known)
    return f"did you mean {guess}?" if guess else f"there are {', '.join(known)}"


def renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run of version 0.1.0 by the names that they have now.

    Raises
    ------
    ConfigError
        Where the run had Weisfeiler-Leman labels in its network.

    Examples
    --------
    >>> renamed({"lr": 0.001, "clip_norm": 1.0, "wl_rounds": 0, "wl_use": "head"})
    {'lr': 0.001, 'gradient_clipping': 1.0}
    """
    older = "wl_use" in settings
    if older and settings.get("wl_rounds"):
        raise ConfigError(
            f"the run has Weisfeiler-Leman labels in its network (wl_rounds: {settings['wl_rounds']}), which "
            f"only version 0.1.0 reads: {WL_APART}"
        )
    return {
        RENAMED.get(name, name): value
        for name, value in settings.items()
        if not (older and str(name).startswith("wl_"))
    }


def read_settings(file: Path) -> dict[str, Any]:
    """Read a YAML file of settings.

    Raises
    ------
    ConfigError
        Where the file is missing, is no YAML, or is not a table of settings.
    """
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no file {file}") from None
    except RecursionError:
        raise ConfigError(f"{file} cannot be read as YAML: it is nested too deeply") from None
    # Besides its own errors YAML lets through those of numbers and dates that there cannot be.
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read as YAML: {one_line(error)}") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{file} is not a table of settings such as `epochs: 100`")
    return settings


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    files = resources.files("gradformer_dgl.presets").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def load_preset(name: str) -> RunConfig:
    """Return the settings of a preset.

    Raises
    ------
    ConfigError
        Where there is no such preset.

    Examples
    --------
    >>> from gradformer_dgl.training.config import load_preset
    >>> load_preset("nci1").batch_size
    128
    """
    if name not in preset_names():
        guess = nearest(name.casefold(), preset_names(), cutoff=0.75)
        hint = f"did you mean {guess}? " if guess else ""
        raise ConfigError(f"no preset {name!r}: {hint}there are {', '.join(preset_names())}")
    with resources.as_file(resources.files("gradformer_dgl.presets") / f"{name}.yaml") as file:
        return RunConfig().updated(read_settings(file))


def preset_for(dataset: str, default: str = "default") -> str:
    """Return the name of the preset made for a data set, or of the default one."""
    return dataset.lower() if dataset.lower() in preset_names() else default
