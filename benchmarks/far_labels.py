"""Accuracy on labels that depend on nodes three to five hops away, of sparse pairs and of other models.

Three in ten nodes of a graph carry a random number. The label of a node is the sign of the sum of those that
lie three to five hops away: what is nearer, or farther, is noise. Two layers of message passing see two
hops. Half of the nodes are for training, a quarter for validation, a quarter for testing. Every contender has
64 channels; its learning rate is chosen by validation accuracy on the first seed, the epoch by validation
accuracy of each run. GPSConv of torch_geometric knows no distances: it gets eight eigenvectors of the graph's
Laplacian beside the features. Every training runs in a process of its own, with one thread; memory is the
peak above that before distances are made.

    python benchmarks/far_labels.py
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
from peak_memory import PeakMemory

CHANNELS, HEADS, LAYERS, DEEP = 64, 4, 2, 6
NEAREST, FARTHEST = 3, 5
MARKED = 0.3
GAMMA, HOPS, TOLERANCE = 0.3, (0.0, 2.0, 4.0, 6.0), 0.05
EIGENVECTORS = 8
RATES = (3e-3, 1e-2)
WEIGHT_DECAY = 1e-3
EVERY = 5
KINDS = {"grid": "Grid of {} nodes", "tree-like": "Random graph of {} nodes with three neighbours each"}
LABELS = {
    "near": f"sparse pairs, {LAYERS} layers",
    "dense": f"all pairs, {LAYERS} layers",
    "local": f"message passing alone, {LAYERS} layers",
    "deep": f"message passing alone, {DEEP} layers",
    "performer": f"GPSConv, Performer, {LAYERS} layers",
    "multihead": f"GPSConv, multihead, {LAYERS} layers",
}


def edges_of(kind, nodes):
    """Return sources and destinations of a graph of about so many nodes, both directions, and the number."""
    import networkx as nx
    import numpy as np

    if kind == "grid":
        side = round(math.sqrt(nodes))
        graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(side, side))
    else:
        graph = nx.random_regular_graph(3, nodes - nodes % 2, seed=0)
    ends = np.array(graph.edges())
    return *np.concatenate([ends, ends[:, ::-1]]).T.copy(), len(graph)


def task(src, dst, nodes, seed):
    """Return features (the number, and whether there is one), labels, and the three parts of the nodes."""
    import numpy as np
    import torch

    from gradformer_dgl import SparsePairDistances

    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal(nodes) * (rng.random(nodes) < MARKED)
    pairs = SparsePairDistances.from_graph((src, dst, nodes), FARTHEST)
    counted = pairs.distances.numpy() >= NEAREST
    owner = np.repeat(np.arange(nodes), np.diff(pairs.indptr.numpy()))[counted]
    sums = np.bincount(owner, numbers[pairs.indices.numpy()[counted]], minlength=nodes)
    features = np.stack([numbers, numbers != 0], axis=1).astype(np.float32)
    order, half, quarter = torch.from_numpy(rng.permutation(nodes)), nodes // 2, nodes // 4
    parts = order.split([half, quarter, nodes - half - quarter])
    return torch.from_numpy(features), torch.from_numpy((sums > 0).astype(np.int64)), parts


def our_model(contender, src, dst, nodes, x):
    """Return a model of this package and its forward function."""
    import dgl
    import torch

    from gradformer_dgl import Gradformer, GraphBatch, PairDistances, SparsePairDistances, cutoff_for
    from gradformer_dgl.preprocess import shortest_path_distances

    model = Gradformer(
        2,
        feat_size=CHANNELS,
        num_layers=DEEP if contender == "deep" else LAYERS,
        num_heads=HEADS,
        node_size=x.shape[1],
        message_passing="gcn",
        gamma=GAMMA,
        hop=list(HOPS),
        attention=contender in ("near", "dense"),
        readout=None,
    )
    distances = None
    if contender == "near":
        distances = SparsePairDistances.from_graph((src, dst, nodes), cutoff_for(model.decay, TOLERANCE))
    if contender == "dense":
        found = shortest_path_distances((src, dst, nodes), max_distance=254)
        distances = PairDistances(found.flatten(), torch.tensor([nodes]), longest=254)
    graph = dgl.graph((torch.from_numpy(src), torch.from_numpy(dst)), num_nodes=nodes)
    batch = GraphBatch(graph, distances, node_features=x)
    return model, lambda: model(batch)


def eigenvectors(src, dst, nodes):
    """Return eigenvectors of the normalised Laplacian by ascending eigenvalue, without the first."""
    import numpy as np
    import torch
    from scipy.sparse import coo_array, csgraph
    from scipy.sparse.linalg import eigsh

    laplacian = csgraph.laplacian(coo_array((np.ones(len(src)), (src, dst)), (nodes, nodes)).tocsr(), True)
    start = np.random.default_rng(0).standard_normal(nodes)
    values, vectors = eigsh(laplacian, EIGENVECTORS + 1, sigma=-0.01, v0=start)
    return torch.from_numpy(vectors[:, values.argsort()[1:]] * math.sqrt(nodes)).float()


def gps_with_positions(attention, src, dst, nodes, x):
    """Return a model of torch_geometric's layers and its forward function."""
    import torch

    x = torch.cat([x, eigenvectors(src, dst, nodes)], dim=1)
    model = gps_model(attention, x, src, dst, LAYERS, CHANNELS, HEADS, 2)
    return model, model


def trained(contender, kind, nodes, rate, seed, epochs):
    """Train once; return the best validation accuracy, the test accuracy then, and what it cost."""
    import torch
    from torch.nn import functional as F

    src, dst, nodes = edges_of(kind, nodes)
    x, labels, (train, *held_out) = task(src, dst, nodes, seed)
    torch.manual_seed(seed)
    with PeakMemory() as memory:
        make = gps_with_positions if contender in ("performer", "multihead") else our_model
        model, forward = make(contender, src, dst, nodes, x)
        optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
        best, times = (0.0, 0.0), []
        for epoch in range(1, epochs + 1):
            start = time.perf_counter()
            model.train()
            loss = F.cross_entropy(forward()[train], labels[train])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            times.append(time.perf_counter() - start)
            if epoch % EVERY == 0:
                model.eval()
                with torch.no_grad():
                    right = forward().argmax(1) == labels
                best = max(best, tuple(float(right[part].float().mean()) for part in held_out))
    parameters = sum(part.numel() for part in model.parameters())
    return [*best, 1000 * statistics.median(times), memory.megabytes, parameters]


def _answer(answers, *setting):
    import torch

    torch.set_num_threads(1)
    # Libraries and kernels that are loaded at the first call are no memory of a training.
    trained(setting[0], setting[1], 400, *setting[3:5], 2)
    answers.put(json.dumps(trained(*setting)))


def run(*setting):
    """Train in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    os.environ["OMP_NUM_THREADS"] = "1"
    process = context.Process(target=_answer, args=(answers, *setting))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{setting[0]} ended with code {process.exitcode}")
    found = json.loads(answers.get())
    contender, kind, _, rate, seed, _ = setting
    text = f"validation {100 * found[0]:.1f} %, test {100 * found[1]:.1f} %, {found[2]:,.0f} ms"
    click.echo(f"{kind} {contender} rate {rate:g} seed {seed}: {text}", err=True)
    return found


def row(contender, kind, nodes, seeds, epochs):
    """Return a row of the table: accuracy on test nodes over the seeds, and costs."""
    first = {rate: run(contender, kind, nodes, rate, 0, epochs) for rate in RATES}
    rate = max(first, key=lambda each: first[each][0])
    runs = [first[rate], *(run(contender, kind, nodes, rate, seed, epochs) for seed in range(1, seeds))]
    tests = [100 * found[1] for found in runs]
    spread = statistics.stdev(tests) if seeds > 1 else 0.0
    step, memory = (statistics.median(found[place] for found in runs) for place in (2, 3))
    cells = [
        LABELS[contender],
        f"{statistics.fmean(tests):.1f} ± {spread:.1f}",
        f"{statistics.fmean(100 * found[0] for found in runs):.1f}",
        f"{rate:g}",
        f"{runs[0][4]:,}",
        f"{step:,.0f}",
        f"{memory:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


@click.command(help=__doc__)
@click.option("--nodes", default=1600, show_default=True, help="Nodes of a graph.")
@click.option("--seeds", default=3, show_default=True, help="Trainings, each with numbers of its own.")
@click.option("--epochs", default=150, show_default=True, help="Steps of a training.")
@click.option(
    "--contender", "contenders", multiple=True, type=click.Choice(list(LABELS)), help="Default: all."
)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(KINDS)), help="Default: both.")
def main(nodes, seeds, epochs, contenders, kinds):
    click.echo(
        f"Measured on {datetime.date.today()}: {seeds} seeds, {epochs} epochs, learning rates "
        f"{' and '.join(f'{rate:g}' for rate in RATES)}; ± is one standard deviation over seeds."
    )
    head = ["", "test, %", "validation, %", "rate", "parameters", "ms a step", "MB"]
    for kind in kinds or KINDS:
        click.echo(f"\n### {KINDS[kind].format(f'{edges_of(kind, nodes)[2]:,}')}\n")
        click.echo(f"| {' | '.join(head)} |\n|---{'|---:' * (len(head) - 1)}|")
        for contender in contenders or LABELS:
            click.echo(row(contender, kind, nodes, seeds, epochs))


if __name__ == "__main__":
    main()
