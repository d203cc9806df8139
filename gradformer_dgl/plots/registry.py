"""Registry of the pictures of a run.

A picture is a function of a :class:`~gradformer_dgl.plots.plotted_run.PlottedRun` that returns a Matplotlib
figure, and one line here. It reads what it needs from the run, which raises a
:class:`~gradformer_dgl.support.errors.RunError` where files are missing: the picture is then left out with
that reason. A function of a user's own is named ``module:function`` and may have an attribute ``traits``, a
mapping with ``title`` and ``caption``.
"""

from gradformer_dgl.support.registry import Part, Registry


def _picture(name: str, code: str, title: str, caption: str) -> Part:
    return Part(name, f"gradformer_dgl.plots.{code}", traits={"title": title, "caption": caption})


PICTURES = Registry(
    "picture",
    [
        _picture(
            "curves",
            "curves:draw_curves",
            "Training",
            "Loss, score and learning rate by epoch. A marker stands at the epoch whose weights a seed "
            "keeps, the best on the validation data.",
        ),
        _picture(
            "decay",
            "decay:draw_learned_decay",
            "Decay",
            "Factor on attention logits by the distance of two nodes: the wide grey line is the start of "
            "training, the others are the heads at its end.",
        ),
        _picture(
            "attention",
            "attention:draw_attention",
            "Attention",
            "One graph. Lines between nodes are as wide as the attention that the two pay each other (mean "
            "of both directions): edges are solid, the strongest pairs without an edge dashed. Dark nodes "
            "receive much attention.",
        ),
        _picture(
            "predictions",
            "predictions:draw_predictions",
            "Test data",
            "Predictions of the kept weights for the test data.",
        ),
        _picture(
            "distances",
            "distances:draw_distances_and_thresholds",
            "Distances",
            "Pairs of nodes at each distance, over all graphs. Markers above the bars, where there are any, "
            "are the distances at which the decay of the heads sets in.",
        ),
    ],
)
