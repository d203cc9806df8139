"""A training step on one large graph, from 1,000 to 1,000,000 nodes: time, peak memory, and how they grow.

Decay attention over the pairs within a cut-off, beside dense decay attention here and GPSConv of
torch_geometric with plain and with linear (Performer) attention, which know no distances. Two layers with a
GCN beside the attention, 64 channels, 4 heads, one thread. Every figure is from a process of its own; memory
is the peak of resident memory above that before distances are made. A contender ends where it needs more than
the memory limit, or where its next step would take longer than the time limit, judged by the growth so far.

    python benchmarks/large_graphs.py
"""

import json
import math
import multiprocessing
import os
import statistics
import time

import click
from gps import gps_model
from peak_memory import PeakMemory

LAYERS, CHANNELS, HEADS = 2, 64, 4
FEATURES, CLASSES = 10, 10
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
CUTOFFS = {"grid": 4, "sbm": 2}
TITLES = {
    "grid": "Grid, cut-off {} hops (about 41 pairs a node)",
    "sbm": "Communities of mean degree 6 (SBM-NODES), cut-off {} hops (about 43 pairs a node)",
}
LABELS = {
    "near": "near pairs",
    "dense": "all pairs",
    "multihead": "GPSConv, multihead",
    "performer": "GPSConv, Performer",
}


def edges_of(kind, nodes):
    """Return sources and destinations of a graph of about so many nodes, both directions, and the number."""
    import numpy as np

    if kind == "grid":
        side = round(math.sqrt(nodes))
        at = np.arange(side * side).reshape(side, side)
        one = np.concatenate([at[:, :-1].ravel(), at[:-1].ravel()])
        other = np.concatenate([at[:, 1:].ravel(), at[1:].ravel()])
        return np.concatenate([one, other]), np.concatenate([other, one]), side * side
    from gradformer_dgl.data.sbm_nodes import read_sbm_nodes

    graphs = read_sbm_nodes(f"SBM-NODES-{nodes}").graphs
    return graphs.src.numpy(), graphs.dst.numpy(), nodes


def our_step(distances_of, src, dst, nodes):
    """Return a function that computes the outputs of this package's model, and the number of pairs."""
    import dgl
    import torch

    from gradformer_dgl import Gradformer, GraphBatch

    model = Gradformer(
        CLASSES,
        feat_size=CHANNELS,
        num_layers=LAYERS,
        num_heads=HEADS,
        node_size=FEATURES,
        message_passing="gcn",
        gamma=0.3,
        hop=1.0,
        readout=None,
    )
    graph = dgl.graph((torch.from_numpy(src).long(), torch.from_numpy(dst).long()), num_nodes=nodes)
    distances, pairs = distances_of()
    batch = GraphBatch(graph, distances, node_features=torch.randn(nodes, FEATURES))
    return model, lambda: model(batch), pairs


def near_step(kind, src, dst, nodes):
    """Return model, forward function and number of pairs of attention over near pairs."""
    from gradformer_dgl import NearPairs

    def distances():
        near = NearPairs.from_graph((src, dst, nodes), CUTOFFS[kind])
        return near, near.num_pairs

    return our_step(distances, src, dst, nodes)


def dense_step(kind, src, dst, nodes):
    """Return the same of dense decay attention."""
    import torch

    from gradformer_dgl import PairDistances
    from gradformer_dgl.preprocess import shortest_path_distances

    def distances():
        found = shortest_path_distances((src, dst, nodes), max_distance=254)
        return PairDistances(found.flatten(), torch.tensor([nodes]), longest=254), nodes * nodes

    return our_step(distances, src, dst, nodes)


def gps_step(kind, src, dst, nodes, attention):
    """Return the same of torch_geometric's layers."""
    import torch

    model = gps_model(attention, torch.randn(nodes, FEATURES), src, dst, LAYERS, CHANNELS, HEADS, CLASSES)
    return model, model, nodes * nodes if attention == "multihead" else nodes


STEPS = {
    "near": near_step,
    "dense": dense_step,
    "multihead": lambda *graph: gps_step(*graph, "multihead"),
    "performer": lambda *graph: gps_step(*graph, "performer"),
}


def training_step(contender, kind, nodes):
    """Return a function that takes one training step, and the number of pairs."""
    import torch
    from torch.nn import functional as F

    src, dst, nodes = edges_of(kind, nodes)
    torch.manual_seed(0)
    model, forward, pairs = STEPS[contender](kind, src, dst, nodes)
    labels = torch.randint(CLASSES, (nodes,))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)

    def step():
        loss = F.cross_entropy(forward(), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step, pairs


def _measure(contender, kind, nodes, steps, limit, answers):
    import torch

    torch.set_num_threads(1)
    # Libraries and kernels that are loaded at the first call are no memory of a step.
    training_step(contender, kind, 400)[0]()
    with PeakMemory(limit) as memory:
        start = time.perf_counter()
        step, pairs = training_step(contender, kind, nodes)
        ready = time.perf_counter() - start
        times = []
        for _ in range(1 + steps):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
    answers.put(json.dumps([statistics.median(times[1:]), memory.megabytes, pairs, ready]))


def measure(contender, kind, nodes, steps, limit):
    """Return seconds of a step, megabytes, pairs and seconds of preparation; None beyond the memory limit."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    os.environ["OMP_NUM_THREADS"] = "1"
    process = context.Process(target=_measure, args=(contender, kind, nodes, steps, limit, answers))
    process.start()
    process.join()
    # 3: stopped by itself; 1: torch was refused the memory; -9: stopped by the system for want of it.
    if process.exitcode in (1, 3, -9):
        return None
    return json.loads(answers.get())


def exponent(found):
    """Return the slope of log seconds over log nodes, of sizes from 10,000 nodes up where there are two."""
    points = [(math.log(nodes), math.log(cost[0])) for nodes, cost in found.items() if cost]
    large = [point for point in points if point[0] >= math.log(9_000)]
    points = large if len(large) > 1 else points
    if len(points) < 2:
        return None
    x, y = (statistics.fmean(axis) for axis in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def column(contender, kind, sizes, steps, limit, seconds):
    """Return the costs of a contender by size, and why it ended, if it did."""
    found, ended = {}, ""
    for nodes in sizes:
        costs = [(size, cost[0]) for size, cost in found.items()]
        if len(costs) > 1:
            (n1, t1), (n2, t2) = costs[-2:]
            power = max(1.0, math.log(t2 / t1) / math.log(n2 / n1))
            if t2 * (nodes / n2) ** power > seconds:
                return found, f"{nodes:,} nodes: more than {seconds:g} s a step"
        cost = measure(contender, kind, nodes, steps, limit)
        if cost is None:
            return found, f"{nodes:,} nodes: more than {limit / 2**30:g} GiB"
        found[nodes] = cost
        click.echo(f"{kind} {contender} {nodes:,}: {cost[0]:.3f} s, {cost[1]:,.0f} MB", err=True)
    return found, ended


def table(kind, sizes, contenders, steps, limit, seconds):
    """Return a Markdown table of one kind of graph."""
    columns = {each: column(each, kind, sizes, steps, limit, seconds) for each in contenders}
    head = [
        "nodes",
        "near pairs",
        "graph and search, s",
        *(f"{LABELS[each]}, ms / MB" for each in contenders),
    ]
    lines = [
        f"### {TITLES[kind].format(CUTOFFS[kind])}",
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    near = columns["near"][0] if "near" in columns else {}
    for nodes in sizes:
        cells = ["", ""]
        if nodes in near:
            cells = [f"{near[nodes][2]:,}", f"{near[nodes][3]:,.2f}"]
        for each in contenders:
            cost = columns[each][0].get(nodes)
            cells.append(f"{1000 * cost[0]:,.0f} / {cost[1]:,.0f}" if cost else "")
        lines.append(f"| {nodes:,} | {' | '.join(cells)} |")
    powers = [exponent(columns[each][0]) for each in contenders]
    cells = ["" if power is None else f"nodes^{power:.2f}" for power in powers]
    lines.append(f"| growth of time | | | {' | '.join(cells)} |")
    lines += ["", *(f"{LABELS[each]} ends at {columns[each][1]}." for each in contenders if columns[each][1])]
    return "\n".join([*lines, ""])


@click.command(help=__doc__)
@click.option("--size", "sizes", multiple=True, type=int, default=SIZES, show_default=True, help="Nodes.")
@click.option("--steps", default=3, show_default=True, help="Steps measured, after one of warm-up.")
@click.option("--memory", default=16.0, show_default=True, help="Memory limit of a contender, GiB.")
@click.option("--seconds", default=60.0, show_default=True, help="Time limit of a step.")
@click.option(
    "--contender", "contenders", multiple=True, type=click.Choice(list(LABELS)), help="Default: all."
)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(CUTOFFS)), help="Default: both.")
def main(sizes, steps, memory, seconds, contenders, kinds):
    for kind in kinds or CUTOFFS:
        click.echo(table(kind, sizes, contenders or tuple(LABELS), steps, int(memory * 2**30), seconds))


if __name__ == "__main__":
    main()
