"""Models of the same widths and depth by this package and by others, and what a step of theirs costs.

Every contender is measured in a process of its own, with one thread: memory is the peak of resident memory
above that before the first step.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import statistics
import threading
import time

ATTENTION_DROPOUT = 0.5
WARM_UP = 3

LABELS = {
    "ours": "gradformer_dgl",
    "padded": "gradformer_dgl, batches padded to the largest graph",
    "pyg": "torch_geometric GPSConv (multihead), no decay",
    "graphormer": "dgl GraphormerLayer with the decay, padded, no message passing",
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of a model and of its batches."""

    layers: int
    channels: int
    heads: int
    batch: int
    local: str

    def __str__(self):
        return (
            f"{self.layers} layers, {self.channels} channels, {self.heads} heads, {self.local.upper()}, "
            f"batch {self.batch}"
        )


@dataclasses.dataclass(frozen=True)
class Cost:
    """Milliseconds of a training step (all of them) and of a forward pass in inference, and memory in MB."""

    train: list[float]
    inference: list[float]
    memory: float
    shares: dict[str, float]

    @property
    def step(self):
        """Median milliseconds of a training step."""
        return statistics.median(self.train)

    @property
    def forward(self):
        """Median milliseconds of a batch in inference."""
        return statistics.median(self.inference)


def our_model(dataset, setting):
    """Return this package's model."""
    from gradformer_dgl.training.config import RunConfig
    from gradformer_dgl.training.network import build_model

    config = RunConfig(
        feat_size=setting.channels,
        num_layers=setting.layers,
        num_heads=setting.heads,
        message_passing=setting.local,
        attn_drop=ATTENTION_DROPOUT,
    )
    return build_model(dataset, config)


def pyg_model(dataset, setting):
    """Return GPSConv layers between our encoders and a sum readout."""
    import torch
    from torch import nn
    from torch_geometric.nn import GINConv, GINEConv, GPSConv, ResGatedGraphConv, global_add_pool

    from gradformer_dgl.encoders import EDGE_ENCODERS, NODE_ENCODERS, make_encoder

    channels = setting.channels
    edge_encoder = dataset.edge_encoder if setting.local != "gin" else None

    def local():
        if setting.local == "gatedgcn":
            return ResGatedGraphConv(channels, channels)
        mlp = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))
        return (GINConv if setting.local == "gin" else GINEConv)(mlp)

    class GPS(nn.Module):
        def __init__(self):
            super().__init__()
            self.nodes = make_encoder(NODE_ENCODERS, dataset.node_encoder, dataset.node_size, channels)
            self.edges = None
            if edge_encoder is not None:
                self.edges = make_encoder(EDGE_ENCODERS, edge_encoder, dataset.edge_size, channels)
            attention = {"dropout": ATTENTION_DROPOUT}
            self.layers = nn.ModuleList(
                GPSConv(channels, local(), setting.heads, attn_type="multihead", attn_kwargs=attention)
                for _ in range(setting.layers)
            )
            self.head = nn.Linear(channels, dataset.out_size)

        def forward(self, batch):
            edges = torch.stack(batch.graph.edges()).long()
            graph = torch.arange(batch.num_graphs).repeat_interleave(batch.node_counts)
            x = self.nodes(batch.node_features)
            options = {} if self.edges is None else {"edge_attr": self.edges(batch.edge_features)}
            for layer in self.layers:
                x = layer(x, edges, graph, **options)
            return self.head(x if dataset.level == "node" else global_add_pool(x, graph))

    return GPS()


def graphormer_model(dataset, setting):
    """Return DGL's Graphormer layers, their attention multiplied by our decay."""
    import torch
    from dgl.nn import GraphormerLayer
    from torch import nn

    from gradformer_dgl import ExponentialDecay
    from gradformer_dgl.encoders import NODE_ENCODERS, make_encoder

    channels = setting.channels

    class Graphormer(nn.Module):
        def __init__(self):
            super().__init__()
            self.nodes = make_encoder(NODE_ENCODERS, dataset.node_encoder, dataset.node_size, channels)
            self.decay = ExponentialDecay(setting.heads)
            self.layers = nn.ModuleList(
                GraphormerLayer(
                    channels,
                    2 * channels,
                    setting.heads,
                    attn_bias_type="mul",
                    norm_first=False,
                    attn_dropout=ATTENTION_DROPOUT,
                )
                for _ in range(setting.layers)
            )
            self.head = nn.Linear(channels, dataset.out_size)

        def forward(self, batch):
            padded = batch.distances.pad()
            real = torch.arange(padded.shape[1]) < batch.node_counts[:, None]
            bias, mask = self.decay(padded), ~(real[:, :, None] & real[:, None, :])
            # A row of padding that may look nowhere would be NaN.
            mask = mask & real[:, :, None]
            x = torch.zeros(*real.shape, channels)
            x[real] = self.nodes(batch.node_features)
            for layer in self.layers:
                x = layer(x, bias, mask)
            return self.head(x[real] if dataset.level == "node" else (x * real[:, :, None]).sum(1))

    return Graphormer()


_MODELS = {"ours": our_model, "padded": our_model, "pyg": pyg_model, "graphormer": graphormer_model}


def measure(contender, dataset, setting, steps, batches=None):
    """Return the cost of a contender's step, measured in a process of its own.

    Parameters
    ----------
    contender : str
        A key of ``LABELS``.
    dataset : callable
        Called without arguments in that process: gives a ``GraphDataset`` with distances attached.
    setting : Setting
        Sizes.
    steps : int
        Number of steps, after some for warming up.
    batches : list of list of int, optional
        Graph numbers of each step in turn; random ones if not given.
    """
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    # For the OpenMP threads of torch and DGL alike, read when they are loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
    arguments = (contender, dataset, setting, steps, batches, answers)
    process = context.Process(target=_measure, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{LABELS[contender]} ended with status {process.exitcode}")
    return Cost(**json.loads(answers.get()))


def _measure(contender, dataset, setting, steps, batches, answers):
    import psutil
    import torch
    from torch.nn import functional as F

    from gradformer_dgl.attention import attention_backend

    torch.set_num_threads(1)
    torch.manual_seed(0)
    dataset = dataset()
    graphs = dataset.graphs
    if batches is None:
        order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(0))
        starts = [step * setting.batch % (len(graphs) - setting.batch + 1) for step in range(WARM_UP + steps)]
        batches = [order[start : start + setting.batch] for start in starts]
    model = _MODELS[contender](dataset, setting)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)

    def loss_of(batch):
        out = model(batch)
        if dataset.task == "regression":
            return F.l1_loss(out.squeeze(1), batch.labels.view(-1).to(out.dtype))
        return F.cross_entropy(out, batch.labels.view(-1).long())

    def train(chosen):
        # Gradients that lie about during the forward pass would cut up the heap.
        optimiser.zero_grad()
        loss_of(graphs.batch(chosen)).backward()
        optimiser.step()

    def infer(chosen):
        with torch.no_grad():
            model(graphs.batch(chosen))

    own, peak, done = psutil.Process(), 0, threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, own.memory_info().rss)

    backend = contextlib.nullcontext()
    if contender == "padded":
        backend = attention_backend("blocks", max_blocks=1)
    with backend:
        # Libraries and kernels that are loaded at the first call are no memory of a step.
        train(batches[0][:1])
        before = own.memory_info().rss
        watcher = threading.Thread(target=watch)
        watcher.start()
        for chosen in batches:
            train(chosen)
        done.set()
        watcher.join()
        # Whoever watches takes turns with what is measured: steps are timed when nobody does.
        times = _times(train, batches, steps)
        shares = _shares(train, graphs, batches[: max(3, steps // 3)]) if contender == "ours" else {}
        model.eval()
        inference = _times(infer, batches, steps)
    cost = Cost(times, inference, (peak - before) / 2**20, shares)
    answers.put(json.dumps(dataclasses.asdict(cost)))


def _times(action, batches, steps):
    times = []
    for step in range(WARM_UP + steps):
        start = time.perf_counter()
        action(batches[step % len(batches)])
        times.append(1000 * (time.perf_counter() - start))
    return times[WARM_UP:]


_PARTS = {
    "attention": ("RaggedAttention",),
    "message passing": ("GSpMM", "GSDDMM", "GatedMean", "SumActivated"),
    "matrix products": ("aten::mm", "aten::addmm"),
}


def _shares(train, graphs, batches):
    """Return the share of a training step that cutting batches, and kinds of operations, take."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        start = time.perf_counter()
        for chosen in batches:
            train(chosen)
        total = time.perf_counter() - start
    start = time.perf_counter()
    for chosen in batches:
        graphs.batch(chosen)
    shares = {"cutting the batch": (time.perf_counter() - start) / total}
    for part, names in _PARTS.items():
        spent = sum(
            row.self_cpu_time_total
            for row in found.key_averages()
            if row.key.removesuffix("Backward") in names
        )
        shares[part] = spent / 1e6 / total
    return {**shares, "the rest": 1 - sum(shares.values())}
