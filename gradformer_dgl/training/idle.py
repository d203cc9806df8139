"""Settings that have no effect beside the others: for a warning where a user has given one."""

from collections.abc import Iterator

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.models.registry import MODELS
from gradformer_dgl.nn.registry import DECAYS
from gradformer_dgl.support.registry import Option
from gradformer_dgl.training.config import MODEL_OPTIONS, RunConfig
from gradformer_dgl.training.registry import SPLITS

_OF_WL = ("model", "readout", "wl_rounds", "wl_min_graphs", "wl_counted", "wl_dropout")
_OF_ATTENTION = ("num_heads", "attn_drop", "drop_path", "distance", "decay")


def idle_settings(config: RunConfig, dataset: GraphDataset) -> dict[str, str]:
    """Return the settings that have no effect on a training, each with the reason."""
    found: dict[str, str] = {}
    for names, reason in (*_of_model(config), *_of_training(config, dataset)):
        for name in names:
            found.setdefault(name, reason)
    return found


def _of_model(config: RunConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    model = config.model
    if model in MODELS:
        for other in MODELS.values():
            if other.name != model:
                yield _names(other.options), f"the model is {model}, not {other.name}"
        if model == "wl":
            yield (
                tuple(option.name for option in MODEL_OPTIONS if option.name not in _OF_WL),
                "the model is wl",
            )
        traits = MODELS[model].traits
        decays = _names(DECAYS.all_options())
        if not traits.get("attention"):
            yield (*_OF_ATTENTION, *decays), f"the model {model} has no attention"
        if model == "graphormer":
            yield ("message_passing", "decay", "drop_path", *decays), "the model is graphormer"
        changed = traits.get("changed", {})
        yield tuple(name for name in changed if name != "attention"), f"the model {model} has its own"
        decay = str(changed.get("decay", config.decay))
        own = _names(DECAYS.part(decay).options)
        yield tuple(name for name in decays if name not in own), f"the decay is {decay}"
        if decay == "none":
            yield ("distance",), "the decay is none"
    if config.encoding == "none":
        yield ("encoding_mode", "encoding_feat_size", "encoding_norm"), "there is no encoding"
    elif config.encoding_mode != "concat":
        yield ("encoding_feat_size",), "the encoding is added"


def _of_training(config: RunConfig, dataset: GraphDataset) -> Iterator[tuple[tuple[str, ...], str]]:
    has_split = dataset.splits is not None or dataset.node_splits is not None
    if config.split == "auto" and has_split:
        yield _names(SPLITS.all_options()), "the data comes with its split"
    own = _names(SPLITS.part(config.split).options)
    others = tuple(name for name in _names(SPLITS.all_options()) if name not in own)
    yield others, f"the split is {config.split}"
    if config.schedule == "constant":
        yield ("warmup_epochs",), "the schedule is constant"
    if dataset.task != "regression":
        yield ("standardize",), f"the task is {dataset.task}"
    if dataset.level == "node":
        yield ("readout",), "the task is one of nodes"
    if dataset.splits_nodes:
        yield ("batch_size",), "the one graph is the batch"


def _names(options: tuple[Option, ...]) -> tuple[str, ...]:
    return tuple(option.name for option in options)
