"""Registry of models: Gradformer and the models it is compared with.

A new model is a class in a file of its own, derived from :class:`~gradformer_dgl.models.base.GraphModel`,
and one line here. Baselines that differ from Gradformer in a few arguments alone list them.
"""

from gradformer_dgl.support.registry import Option, Part, Registry

_GRADFORMER = "gradformer_dgl.models.gradformer:Gradformer"


def _gradformer(name: str, help: str, attention: bool = True, **changed: object) -> Part:
    changed = changed if attention else {"attention": False, **changed}
    return Part(name, _GRADFORMER, help, traits={"changed": changed, "attention": attention})


MODELS = Registry(
    "model",
    [
        _gradformer("gradformer", "message passing and attention with decay"),
        _gradformer("graphgps", "no decay", decay="none"),
        Part(
            "graphormer",
            "gradformer_dgl.models.graphormer:Graphormer",
            "attention biased by distance, and degree embeddings",
            traits={"attention": True},
        ),
        _gradformer("transformer", "neither decay nor message passing", decay="none", message_passing="none"),
        _gradformer("gin", "GIN without attention", attention=False, message_passing="gin"),
        _gradformer("gcn", "GCN without attention", attention=False, message_passing="gcn"),
        _gradformer("gatedgcn", "GatedGCN without attention", attention=False, message_passing="gatedgcn"),
        Part(
            "wl",
            "gradformer_dgl.models.wl:WLModel",
            "a linear model of Weisfeiler-Leman labels",
            (
                Option("wl_rounds", 5, "rounds of Weisfeiler-Leman refinement", 1, 100),
                Option("wl_min_graphs", 2, "training graphs that a label must occur in", 1, 10**9),
                Option("wl_counted", True, "tell how often a label occurs in a graph"),
                Option("wl_dropout", 0.5, "dropout on the labels of the nodes", 0, 0.999),
            ),
            traits={"attention": False, "preset": "wl"},
        ),
    ],
)
