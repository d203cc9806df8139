"""Growth of a training step: with nodes per graph, layers, batch size, and one large graph among small ones.

Random graphs of mean degree 4; GIN beside the attention, 64 channels, 4 heads. Each contender runs in a fresh
process in every round, all of them in turns. Times are medians over the steps of all rounds; in brackets
ratios of medians, and with more than one round the lowest and the highest of a round.

    python benchmarks/growth.py
"""

import functools

import click
from contenders import LABELS, Setting
from step_costs import measure

CONTENDERS = ("ours", "padded", "pyg")
LAYERS, CHANNELS, HEADS = 4, 64, 4
MOLECULE = 23


def random_dataset(sizes):
    """Return random graphs of these sizes with their distances, two classes."""
    import numpy as np
    import torch

    from gradformer_dgl import PairDistances
    from gradformer_dgl.data import GraphDataset, PackedGraphs
    from gradformer_dgl.preprocess import GraphStructures
    from gradformer_dgl.preprocess.shortest_paths import packed_distances

    rng = np.random.default_rng(len(sizes))
    nodes = np.array(sizes)
    edges = 2 * nodes
    owner = np.repeat(nodes, edges)
    src, dst = (rng.integers(0, owner).astype(np.int32) for _ in range(2))
    structures = GraphStructures(nodes, 2 * edges, *_both_ways(src, dst, edges))
    distances, _, _ = packed_distances(structures, np.uint8)
    counts = torch.from_numpy(nodes)
    graphs = PackedGraphs(
        counts,
        torch.from_numpy(2 * edges),
        torch.from_numpy(structures.src).int(),
        torch.from_numpy(structures.dst).int(),
        node_features=torch.rand(int(nodes.sum()), 16),
        labels=torch.arange(len(nodes)) % 2,
        distances=PairDistances(torch.from_numpy(distances), counts),
    )
    return GraphDataset(
        "random", graphs, task="multiclass", level="graph", out_size=2, node_encoder="linear", node_size=16
    )


def _both_ways(src, dst, edges):
    import numpy as np

    graph = np.repeat(np.arange(len(edges)), edges)
    order = np.argsort(np.concatenate([graph, graph]), kind="stable")
    return np.concatenate([src, dst])[order], np.concatenate([dst, src])[order]


def row(label, sizes, layers, steps, rounds, contenders=CONTENDERS):
    """Return one row: the batch is all graphs of these sizes."""
    setting = Setting(layers, CHANNELS, HEADS, len(sizes), "gin")
    dataset = functools.partial(random_dataset, sizes)
    whole = [list(range(len(sizes)))]
    costs = measure(contenders, dataset, setting, steps, rounds, whole)
    ours = costs["ours"].train
    pairs = sum(size * size for size in sizes)
    cells = [
        label,
        f"{sum(sizes):,}",
        f"{pairs:,}",
        f"{ours.median:,.1f}",
        f"{1e6 * ours.median / pairs:,.0f}",
        *(_beside(costs[each].train, ours) for each in contenders[1:]),
    ]
    memory = [f"{costs[each].memory:,.0f}" for each in contenders]
    return f"| {' | '.join(cells)} | {' / '.join(memory)} |"


def _beside(times, ours):
    ratios = times.ratios(ours)
    by_round = f", {min(ratios):.1f} to {max(ratios):.1f}" if len(ratios) > 1 else ""
    return f"{times.median:,.1f} ({times.median / ours.median:.1f} x{by_round})"


def table(title, rows, contenders=CONTENDERS):
    """Return a Markdown table."""
    head = ["", "nodes", "pairs", f"{LABELS['ours']}, ms", "ns a pair"]
    head += [LABELS[each] for each in contenders[1:]]
    head += ["memory, MB"]
    return "\n".join([f"### {title}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows, ""])


@click.command(help=__doc__)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Steps measured, shared out among the rounds; in each, three of warm-up come before.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Fresh processes for each contender.",
)
@click.option("--largest", default=2048, show_default=True, help="Most nodes of a graph.")
def main(steps, rounds, largest):
    cost = {"steps": steps, "rounds": rounds}
    sizes = [size for size in (16, 32, 64, 128, 256, 512, 1024, 2048) if size <= largest]
    batches = {size: [size] * max(1, 4096 // size) for size in sizes}
    rows = [row(f"{len(batch)} x {size}", batch, LAYERS, **cost) for size, batch in batches.items()]
    click.echo(table("Nodes per graph, about as many nodes in all", rows))
    rows = [row(f"{layers} layers", [MOLECULE] * 32, layers, **cost) for layers in (2, 4, 8, 16)]
    click.echo(table(f"Layers, batches of 32 graphs of {MOLECULE} nodes", rows))
    rows = [row(f"batch {count}", [MOLECULE] * count, LAYERS, **cost) for count in (8, 32, 128, 512)]
    click.echo(table(f"Batch size, graphs of {MOLECULE} nodes", rows))
    # Padded, such a batch takes 128 x 600^2 cells a head: more than ten gigabytes in all.
    alone = ("ours",)
    rows = [
        row("128 small", [MOLECULE] * 128, LAYERS, contenders=alone, **cost),
        row("127 small and one of 600", [MOLECULE] * 127 + [600], LAYERS, contenders=alone, **cost),
        row("the one of 600", [600], LAYERS, contenders=alone, **cost),
    ]
    click.echo(table(f"One large graph among graphs of {MOLECULE} nodes", rows, alone))


if __name__ == "__main__":
    main()
