"""How long a training step takes, and how much memory, beside padded batches and PyTorch Geometric.

Every contender runs in a process of its own, with the same graphs, widths, depth and dropout. The
step is the whole of it: cutting the batch, forward, loss, backward and the optimiser.

    python benchmarks/training_step.py --data-root DIR
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click

CONTENDERS = {
    "ours": "gradformer_dgl",
    "padded": "gradformer_dgl, batches padded to the largest graph",
    "pyg": "torch_geometric GPSConv (multihead), no decay",
}
SETTINGS = {
    "NCI1": {"layers": 4, "channels": 64, "heads": 4, "batch": 128, "local": "gin"},
    "ZINC12k": {"layers": 10, "channels": 64, "heads": 4, "batch": 32, "local": "gine"},
}
ATTENTION_DROPOUT = 0.5
WARM_UP = 3
# For the OpenMP threads of torch and DGL alike.
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def load(name, data_root, folder):
    """Return the data set with its distances."""
    from gradformer_dgl.cache import DistanceCache
    from gradformer_dgl.data import load_dataset
    from gradformer_dgl.preprocess import preprocess_graphs

    dataset = load_dataset(name, data_root)
    path = Path(folder) / f"{name}.h5"
    if not path.exists():
        preprocess_graphs(dataset.graphs, path, n_jobs=1)
    return dataset, dataset.graphs.with_cache(DistanceCache(path), verify=False)


def our_model(dataset, setting):
    """Return the model and what it takes of a batch."""
    from gradformer_dgl import Gradformer

    edges = setting["local"] != "gin"
    return Gradformer(
        dataset.out_size,
        setting["channels"],
        setting["layers"],
        setting["heads"],
        node_encoder=dataset.node_encoder,
        node_size=dataset.node_size,
        edge_encoder=dataset.edge_encoder if edges else None,
        edge_size=dataset.edge_size if edges else None,
        message_passing=setting["local"],
        attn_drop=ATTENTION_DROPOUT,
    )


def pyg_model(dataset, setting):
    """Return GPSConv layers of the same sizes between our encoders and a sum readout."""
    import torch
    from torch import nn
    from torch_geometric.nn import GINConv, GINEConv, GPSConv, global_add_pool

    from gradformer_dgl.encoders import EDGE_ENCODERS, NODE_ENCODERS, make_encoder

    channels = setting["channels"]
    conv = GINConv if setting["local"] == "gin" else GINEConv

    class GPS(nn.Module):
        def __init__(self):
            super().__init__()
            self.nodes = make_encoder(NODE_ENCODERS, dataset.node_encoder, dataset.node_size, channels)
            self.edges = None
            if setting["local"] != "gin":
                self.edges = make_encoder(EDGE_ENCODERS, dataset.edge_encoder, dataset.edge_size, channels)
            self.layers = nn.ModuleList()
            for _ in range(setting["layers"]):
                mlp = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))
                attention = {"dropout": ATTENTION_DROPOUT}
                self.layers.append(
                    GPSConv(
                        channels, conv(mlp), setting["heads"], attn_type="multihead", attn_kwargs=attention
                    )
                )
            self.head = nn.Linear(channels, dataset.out_size)

        def forward(self, batch):
            edges = torch.stack(batch.graph.edges()).long()
            graph = torch.arange(batch.num_graphs).repeat_interleave(batch.node_counts)
            x = self.nodes(batch.node_features)
            options = {} if self.edges is None else {"edge_attr": self.edges(batch.edge_features)}
            for layer in self.layers:
                x = layer(x, edges, graph, **options)
            return self.head(global_add_pool(x, graph))

    return GPS()


def measure(contender, name, data_root, folder, steps):
    """Return milliseconds of each step and the peak of resident memory above that before the first."""
    import contextlib

    import psutil
    import torch
    from torch.nn import functional as F

    from gradformer_dgl.attention import attention_backend

    torch.set_num_threads(1)
    torch.manual_seed(0)
    setting = SETTINGS[name]
    dataset, graphs = load(name, data_root, folder)
    model = (pyg_model if contender == "pyg" else our_model)(dataset, setting)
    backend = contextlib.nullcontext()
    if contender == "padded":
        backend = attention_backend("blocks", max_blocks=1)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(0))
    own, peak, done = psutil.Process(), 0, threading.Event()
    before = own.memory_info().rss

    def watch():
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, own.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    times = []
    with backend:
        for step in range(WARM_UP + steps):
            start = time.perf_counter()
            chosen = order[(step * setting["batch"]) % (len(graphs) - setting["batch"]) :][: setting["batch"]]
            batch = graphs.batch(chosen)
            out = model(batch)
            if dataset.task == "regression":
                loss = F.l1_loss(out.squeeze(1), batch.labels.view(-1).to(out.dtype))
            elif dataset.task == "multiclass":
                loss = F.cross_entropy(out, batch.labels.view(-1).long())
            else:
                loss = F.binary_cross_entropy_with_logits(out.squeeze(1), batch.labels.view(-1).to(out.dtype))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            times.append(1000 * (time.perf_counter() - start))
    done.set()
    watcher.join()
    return {"times": times[WARM_UP:], "memory": (peak - before) / 2**20}


def table(name, results):
    """Return a Markdown table of all contenders, with ratios to ours."""
    setting = SETTINGS[name]
    lines = [
        f"### {name}: {setting['layers']} layers, {setting['channels']} channels, {setting['heads']} heads, "
        f"{setting['local'].upper()}, batch {setting['batch']}, one thread",
        "",
        "| | ms a step | (least) | graphs/s | peak memory, MB | time, ratio | memory, ratio |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    ours = statistics.median(results["ours"]["times"]), results["ours"]["memory"]
    for contender, label in CONTENDERS.items():
        times, memory = results[contender]["times"], results[contender]["memory"]
        middle = statistics.median(times)
        lines.append(
            f"| {label} | {middle:.0f} | {min(times):.0f} | {1000 * setting['batch'] / middle:,.0f} "
            f"| {memory:.0f} | {middle / ours[0]:.1f} | {memory / ours[1]:.1f} |"
        )
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--data-root", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--dataset", "names", type=click.Choice(list(SETTINGS)), multiple=True, default=list(SETTINGS))
@click.option("--steps", default=30, show_default=True, help="Steps measured, after three of warm-up.")
@click.option("--contender", type=click.Choice(list(CONTENDERS)), hidden=True)
@click.option("--folder", hidden=True, help="Where the cache lies.")
def main(data_root, names, steps, contender, folder):
    if contender:
        click.echo(json.dumps(measure(contender, names[0], data_root, folder, steps)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            load(name, data_root, temporary)
            results = {}
            for each in CONTENDERS:
                command = [sys.executable, __file__, "--data-root", str(data_root), "--dataset", name]
                command += ["--steps", str(steps), "--contender", each, "--folder", temporary]
                run = subprocess.run(command, capture_output=True, text=True, env=ONE_THREAD)
                if run.returncode:
                    raise click.ClickException(f"{each} failed:\n{run.stderr}")
                results[each] = json.loads(run.stdout.splitlines()[-1])
            click.echo(table(name, results) + "\n")


if __name__ == "__main__":
    main()
