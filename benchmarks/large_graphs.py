"""A training step on one large graph, from 1,000 to 1,000,000 nodes: time, peak memory, and how they grow.

Decay attention over the pairs within a cut-off, beside dense decay attention here and GPSConv of
torch_geometric with plain and with linear (Performer) attention, which know no distances. Two layers with a
GCN beside the attention, 64 channels, 4 heads, one thread. Every figure is from a process of its own, forked
from one that has loaded the libraries; memory is the peak of resident memory above that before distances are
made. A contender ends where it needs more than the memory limit, or where its next step would take longer
than the time limit, judged by the growth so far. Takes about ten minutes on a machine that does nothing else.

    python benchmarks/large_graphs.py
"""

import datetime
import json
import math
import multiprocessing
import os
import statistics
import time

import click
from gps import gps_model
from peak_memory import BEYOND_MEMORY, PeakMemory

LAYERS, CHANNELS, HEADS = 2, 64, 4
FEATURES, CLASSES = 10, 10
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 1_000_000)
LIBRARIES = ("torch", "torch_geometric.nn", "gradformer_dgl.data", "dgl", "psutil")
ENOUGH = 15.0
"""Seconds of steps after which no more are measured."""
CUTOFFS = {"grid": 4, "sbm": 2}
TITLES = {
    "grid": "Grid, cut-off {} hops (about 41 pairs a node)",
    "sbm": "Communities of mean degree 6 (SBM-NODES), cut-off {} hops (about 43 pairs a node)",
}
LABELS = {
    "near": "sparse pairs",
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
    from gradformer_dgl.data.readers.sbm_nodes import read_sbm_nodes

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
    """Return model, forward function and number of pairs of attention over sparse pairs."""
    from gradformer_dgl import SparsePairDistances

    def distances():
        near = SparsePairDistances.from_graph((src, dst, nodes), CUTOFFS[kind])
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
    try:
        # Kernels that are loaded at the first call are no memory of a step.
        training_step(contender, kind, 400)[0]()
        with PeakMemory(limit) as memory:
            start = time.perf_counter()
            step, pairs = training_step(contender, kind, nodes)
            ready = time.perf_counter() - start
            times = []
            while len(times) < 1 + steps and sum(times) < ENOUGH:
                start = time.perf_counter()
                step()
                times.append(time.perf_counter() - start)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            os._exit(BEYOND_MEMORY)
        raise
    answers.put(json.dumps([statistics.median(times[1:] or times), memory.megabytes, pairs, ready]))


def measure(contender, kind, nodes, steps, limit):
    """Return seconds of a step, megabytes, pairs and seconds of preparation; None beyond the memory limit."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    answers = context.SimpleQueue()
    process = context.Process(target=_measure, args=(contender, kind, nodes, steps, limit, answers))
    process.start()
    process.join()
    # -9: stopped by the system for want of memory.
    if process.exitcode in (BEYOND_MEMORY, -9):
        return None
    if process.exitcode:
        raise SystemExit(f"{kind} {contender} {nodes:,} ended with code {process.exitcode}")
    return json.loads(answers.get())


def exponent(found, place):
    """Return the slope of log cost over log nodes, of sizes from 10,000 nodes up where there are two."""
    points = [(math.log(nodes), math.log(cost[place])) for nodes, cost in found.items()]
    large = [point for point in points if point[0] >= math.log(9_000)]
    points = large if len(large) > 1 else points
    if len(points) < 2:
        return None
    x, y = (statistics.fmean(axis) for axis in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def growth(found):
    """Return how time and memory grow, as text."""
    powers = [exponent(found, place) for place in (0, 1)]
    return "" if None in powers else " / ".join(f"n^{power:.2f}" for power in powers)


def column(contender, kind, sizes, steps, limit, seconds):
    """Return the costs of a contender by size, and why it ended, if it did."""
    found, ended = {}, ""
    for nodes in sizes:
        costs = [(size, cost[0]) for size, cost in found.items()]
        if len(costs) > 1:
            (n1, t1), (n2, t2) = costs[-2:]
            power = max(1.0, math.log(t2 / t1) / math.log(n2 / n1))
            if t2 * (nodes / n2) ** power > seconds:
                return found, f"{nodes:,} nodes: more than {seconds:g} s a step, extrapolated"
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
        "sparse pairs",
        "graph and search, s",
        *(f"{LABELS[each]}, ms / MB" for each in contenders),
    ]
    lines = [
        f"### {TITLES[kind].format(CUTOFFS[kind])}",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---:|' * len(head)}",
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
    lines.append(f"| growth | | | {' | '.join(growth(columns[each][0]) for each in contenders)} |")
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
    start = time.perf_counter()
    click.echo(
        f"Measured on {datetime.date.today()}: {LAYERS} layers, {CHANNELS} channels, {HEADS} heads, GCN, one "
        f"thread. A step is forward, loss, backward and AdamW; time is the median of {steps} steps after "
        f"one of warm-up, or that one where it takes {ENOUGH:g} s; memory is the peak above that before "
        f"distances are made. A contender ends where it would need more than {memory:g} GiB, or more than "
        f"{seconds:g} s a step; the seconds of the next size are extrapolated from the growth between the "
        "last two. Growth is fitted to the sizes from 10,000 nodes up where there are two of them, to all "
        "where there are not, n being the nodes.\n"
    )
    for kind in kinds or CUTOFFS:
        click.echo(table(kind, sizes, contenders or tuple(LABELS), steps, int(memory * 2**30), seconds))
    click.echo(f"took {(time.perf_counter() - start) / 60:.1f} minutes", err=True)


if __name__ == "__main__":
    main()
