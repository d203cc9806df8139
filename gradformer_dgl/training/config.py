"""What a run is made of: one flat table of settings, from a preset, a YAML file and single options."""

import dataclasses
import reprlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from gradformer_dgl.support.did_you_mean import nearest
from gradformer_dgl.support.errors import ConfigError


def _setting(default: Any, help: str, choices: tuple[str, ...] | None = None) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


# A few lines of YAML can stand for a value of gigabytes.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 1, 80, 80

MODELS = ("gradformer", "graphgps", "graphormer", "transformer", "gin", "gcn", "gatedgcn")
"""Gradformer and its baselines."""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All settings of a run. The names are the keys of the YAML files and, with dashes, the options.

    Raises
    ------
    ConfigError
        For a value outside its range or not among its choices.

    Examples
    --------
    >>> from gradformer_dgl.training.config import RunConfig
    >>> RunConfig(epochs=3, gamma=0.5).gamma
    0.5
    """

    epochs: int = _setting(100, "passes over the training data")
    batch_size: int = _setting(128, "graphs in a training batch")
    lr: float = _setting(1e-3, "learning rate")
    weight_decay: float = _setting(1e-5, "weight decay")
    optimizer: str = _setting("adamw", "optimiser", ("adam", "adamw"))
    schedule: str = _setting(
        "cosine",
        "learning rate over the epochs; reference: as in the published code, constant in an epoch, with a "
        "warm-up from 0 and a cosine so long that it hardly falls",
        ("constant", "cosine", "reference"),
    )
    warmup_epochs: float = _setting(5.0, "epochs in which the learning rate rises from 0")
    clip_norm: float = _setting(1.0, "largest norm of the gradient; 0 does not clip")
    average: float = _setting(
        0.0, "validate and keep a running average of the weights that holds on to this share at every step"
    )
    select_by: str = _setting(
        "metric", "what the best epoch is the best in on the validation graphs", ("metric", "loss")
    )
    select_after: float = _setting(
        0.0, "share of the epochs after which the best one is looked for; earlier ones are forgotten then"
    )
    patience: int = _setting(
        0, "epochs without a better one after which training ends early; 0 trains all epochs"
    )
    class_weights: bool = _setting(False, "weight the classes of a batch by their rarity in the loss")
    standardize: bool = _setting(True, "train a regression on targets of mean 0 and deviation 1")
    standardize_features: bool = _setting(
        True, "bring numeric features to mean 0 and deviation 1; columns of zeros and ones stay"
    )
    precision: str = _setting(
        "fp32",
        "precision of matrix products; bf16: bfloat16 by autocast; tf32: TensorFloat-32 on CUDA, "
        "on a CPU the same as fp32",
        ("fp32", "tf32", "bf16"),
    )
    val_share: float = _setting(0.1, "share of graphs for validation where the data has no fixed split")
    test_share: float = _setting(0.1, "share of graphs for testing where the data has no fixed split")
    train_share: float = _setting(
        1.0, "share of the training graphs that is used, above 0; a smaller share is part of a larger one"
    )

    model: str = _setting(
        "gradformer",
        "Gradformer, or a baseline with the same encoders, readout and head. graphgps: no decay; "
        "transformer: neither decay nor message passing; gin, gcn, gatedgcn: that message passing without "
        "attention; graphormer: attention biased by distance, and degree embeddings. "
        "Settings of a part that the model does not have, such as gamma for gin, are ignored",
        MODELS,
    )
    feat_size: int = _setting(64, "channels of a node")
    num_layers: int = _setting(4, "layers")
    num_heads: int = _setting(4, "attention heads")
    message_passing: str = _setting(
        "gin",
        "message passing beside the attention",
        ("gin", "gine", "gcn", "gatedgcn", "gatedgcn_gate", "none"),
    )
    distance: str = _setting(
        "shortest_path",
        "what the decay is a function of; resistance: the effective resistance, to a quarter of an edge's",
        ("shortest_path", "resistance"),
    )
    decay: str = _setting("exponential", "attention mask; none is plain attention", ("exponential", "none"))
    gamma: float = _setting(0.6, "base of the exponential decay, in (0, 1]")
    hop: float = _setting(5.0, "initial threshold tau of every head, in hops")
    slope: float = _setting(0.0, "slope of the leaky ReLU within the threshold")
    learn_hop: bool = _setting(True, "learn the threshold of every head")
    encoding: str = _setting("none", "node encoding from the cache, such as rwse:20 or lappe:10")
    encoding_mode: str = _setting("add", "how encodings join the node features", ("add", "concat"))
    encoding_feat_size: int = _setting(0, "channels of the encoding where it is concatenated")
    encoding_norm: bool = _setting(False, "normalise the raw encoding over the batch")
    wl_rounds: int = _setting(
        0,
        "rounds of Weisfeiler-Leman colour refinement whose colours have weights of their own; 0 for none",
    )
    wl_use: str = _setting(
        "head",
        "what the weights of colours are added to: the outputs, beside the network (head), the nodes before "
        "the first layer (embedding), or both",
        ("head", "embedding", "both"),
    )
    wl_min_graphs: int = _setting(2, "training graphs that a colour must occur in to have weights")
    wl_counted: bool = _setting(
        False, "give every further node of a graph with the same colour another one, so that numbers matter"
    )
    wl_drop: float = _setting(0.5, "dropout on the colours of the nodes")
    wl_apart: bool = _setting(
        False, "train the colours and the network on a loss of their own each, and average what they say"
    )
    wl_share: float = _setting(0.5, "weight of the colours in that average, the network's being the rest")
    dropout: float = _setting(0.0, "dropout on the branches of a layer")
    attn_drop: float = _setting(0.5, "dropout on attention weights")
    drop_path: float = _setting(0.0, "chance of skipping the attention branch for a graph")
    readout: str = _setting("sum", "nodes to graph", ("sum", "mean", "max"))
    head: str = _setting("linear", "prediction head", ("linear", "mlp"))

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if kind is float and type(value) is int:
                object.__setattr__(self, field.name, float(value))
            elif type(value) is not kind:
                raise ConfigError(f"{field.name} takes a {_KIND_NAMES[kind]}, not {_SHORT.repr(value)}")
            choices = field.metadata["choices"]
            if choices and value not in choices:
                guess = nearest(value, choices)
                hint = f"; did you mean {guess}?" if guess else ""
                raise ConfigError(
                    f"{field.name} is one of {', '.join(choices)}, not {_SHORT.repr(value)}{hint}"
                )
        for name, low, high in _RANGES:
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} lies between {low:g} and {high:g}, not at {getattr(self, name)!r}")
        if self.val_share + self.test_share >= 1:
            raise ConfigError("val_share and test_share leave nothing to train on")
        if self.feat_size % self.num_heads:
            raise ConfigError(
                f"feat_size {self.feat_size} is not a multiple of num_heads {self.num_heads}: change one"
            )
        if self.wl_counted and self.wl_use != "head":
            raise ConfigError(
                "wl_counted tells nodes of one colour apart by the order in which they stand: that is for "
                f"outputs of whole graphs, not for wl_use {self.wl_use}"
            )

    def updated(self, settings: Mapping[str, Any]) -> "RunConfig":
        """Return a copy with some settings replaced; an unknown name is refused."""
        known = [field.name for field in dataclasses.fields(self)]
        for name in settings:
            if name not in known:
                guess = nearest(name, known)
                hint = f"did you mean {guess}?" if guess else f"there are {', '.join(known)}"
                raise ConfigError(f"no setting is called {_SHORT.repr(name)}: {hint}")
        return dataclasses.replace(self, **settings)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return dataclasses.asdict(self)

    def matches(self, settings: Any) -> bool:
        """Whether saved settings are these; one that an older version did not know has its default."""
        return isinstance(settings, Mapping) and RunConfig().as_dict() | dict(settings) == self.as_dict()

    @property
    def distance_unit(self) -> float:
        """What one step of the distances stands for: a hop, or a share of an edge's resistance."""
        return 1.0 if self.distance == "shortest_path" else 0.25

    @property
    def extra_distances(self) -> tuple[str, ...]:
        """Names of the other distances that the cache must hold."""
        return () if self.distance == "shortest_path" else (self.distance,)

    @property
    def encodings(self) -> tuple[str, ...]:
        """Names of the encodings that the cache must hold."""
        return () if self.encoding == "none" else (self.encoding,)


_KIND_NAMES = {int: "whole number", float: "number", bool: "true or false", str: "name"}
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("epochs", 1, 10**6),
    ("batch_size", 1, 10**6),
    ("lr", 1e-12, 1e3),
    ("weight_decay", 0, 1e3),
    ("warmup_epochs", 0, 10**6),
    ("clip_norm", 0, 1e9),
    ("average", 0, 0.99999),
    ("select_after", 0, 0.999),
    ("patience", 0, 10**6),
    ("val_share", 0.001, 0.998),
    ("test_share", 0.001, 0.998),
    ("train_share", 1e-6, 1),
    ("feat_size", 1, 10**5),
    ("num_layers", 1, 10**4),
    ("num_heads", 1, 10**4),
    ("gamma", 1e-6, 1),
    ("hop", -1000, 1000),
    ("slope", 0, 1),
    ("encoding_feat_size", 0, 10**5),
    ("wl_rounds", 0, 100),
    ("wl_min_graphs", 1, 10**9),
    ("wl_drop", 0, 0.999),
    ("wl_share", 0, 1),
    ("dropout", 0, 0.999),
    ("attn_drop", 0, 0.999),
    ("drop_path", 0, 0.999),
)


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
        raise ConfigError(f"{file} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{file} is not a table of settings such as `epochs: 100`")
    return settings


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
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
    """Name of the preset made for a data set, or of the default one."""
    return dataset.lower() if dataset.lower() in preset_names() else default
