"""Small trainings that several processes share, and what each comes to; run by torchrun and by the tests."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch

from gradformer_dgl import PairDistances
from gradformer_dgl.data import GraphDataset, PackedGraphs
from gradformer_dgl.preprocess import shortest_path_distances
from gradformer_dgl.training.checkpoint import load_checkpoint, save_checkpoint
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.distributed import ALONE, Ranks, joined_ranks
from gradformer_dgl.training.loop import Trainer

COMMON = {"epochs": 2, "feat_size": 12, "num_layers": 2, "num_heads": 3, "batch_size": 7, "lr": 5e-3}
COMMON |= {"warmup_epochs": 1, "attn_drop": 0.0, "ema_decay": 0.5, "encoding": "rwse:3"}
SCENARIOS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "classes": ("multiclass", "graph", {"message_passing": "gin", "class_weights": True}),
    "wl": ("regression", "graph", {"model": "wl", "wl_rounds": 2, "wl_min_graphs": 1, "wl_dropout": 0.0}),
    "missing targets": ("regression", "graph", {"message_passing": "gatedgcn", "encoding_norm": True}),
    "labels of nodes": ("multiclass", "node", {"message_passing": "gine", "class_weights": True}),
    "missing labels": ("multilabel", "graph", {"message_passing": "none", "gradient_clipping": 0.01}),
    "graphormer": ("multiclass", "node", {"model": "graphormer"}),
    "graphormer's empty shares": (
        "regression",
        "graph",
        {"model": "graphormer", "batch_size": 1, "epochs": 1, "encoding": "none"},
    ),
    "no attention": ("regression", "graph", {"model": "gcn", "batch_size": 1, "epochs": 1}),
    "empty shares": ("regression", "graph", {"message_passing": "gatedgcn", "batch_size": 1, "epochs": 1}),
}


def made_dataset(task: str, level: str) -> GraphDataset:
    """37 random graphs of 1 to 22 nodes; a third of the labels that are not classes is missing."""
    # Only after gradformer_dgl, which keeps GraphBolt out of it.
    import dgl

    generator = torch.Generator().manual_seed(11)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    graphs = []
    for number in range(37):
        nodes = 1 + number * 5 % 22
        ends = torch.randint(nodes, (2, 2 * nodes), generator=generator)
        graph = dgl.graph((torch.cat([ends[0], ends[1]]), torch.cat([ends[1], ends[0]])), num_nodes=nodes)
        graph.ndata["feat"], graph.edata["feat"] = draw(nodes, 5), draw(graph.num_edges(), 2)
        graphs.append(graph)
    rows = len(graphs) if level == "graph" else sum(graph.num_nodes() for graph in graphs)
    labels = draw(rows, 2) if task == "regression" else (draw(rows, 2) > 0.3).float()
    labels = labels.masked_fill(draw(rows, 2) > 0.5, torch.nan)
    if task == "multiclass":
        labels = (draw(rows) > 0.5).long() + (draw(rows) > 1).long()
    packed = PackedGraphs.from_graphs(graphs)
    values = torch.cat([shortest_path_distances(graph).flatten() for graph in graphs])
    packed = dataclasses.replace(
        packed,
        labels=labels,
        label_level=level,
        distances=PairDistances(values, packed.node_counts),
        encodings={"rwse:3": draw(packed.num_nodes, 3)},
    )
    return GraphDataset(
        "MADE", packed, task, level, out_size=3 if task == "multiclass" else 2,
        node_encoder="linear", node_size=5, edge_encoder="linear", edge_size=2,
    )  # fmt: skip


def trainer_of(name: str, folder: Path, ranks: Ranks = ALONE, **settings: Any) -> Trainer:
    task, level, own = SCENARIOS[name]
    return Trainer(made_dataset(task, level), RunConfig(**COMMON | own | settings), 3, folder, ranks=ranks)


def outcome(
    name: str, folder: Path, ranks: Ranks = ALONE, resume: bool = False, **settings: Any
) -> dict[str, Any]:
    """Train a scenario and return its curve, scores and weights."""
    trainer = trainer_of(name, folder, ranks, **settings)
    if resume:
        load_checkpoint(trainer)
    result = trainer.run()
    records = [{key: record[key] for key in record if key != "seconds"} for record in trainer.records]
    state = {key: value.flatten().tolist() for key, value in trainer.scored.state_dict().items()}
    return {"records": records, "val": result.val, "test": result.test, "weights": state}


def interrupted(name: str, folder: Path, ranks: Ranks) -> None:
    """Train one epoch and leave the checkpoint."""
    trainer = trainer_of(name, folder, ranks)
    trainer.files.begin([])
    trainer.run_epoch(0)
    save_checkpoint(trainer)


def seen_graphs(folder: Path, ranks: Ranks) -> dict[str, Any]:
    """Return the numbers of the graphs that this rank computes in an epoch and in evaluations."""
    trainer = trainer_of("classes", folder, ranks)
    cut, numbers = trainer.loader.batch, []

    def watched(indices):
        numbers.extend(indices.tolist())
        return cut(indices)

    trainer.loader.batch = watched
    found: dict[str, Any] = {}
    trainer.train_epoch(0)
    for part in ("train", "val", "test"):
        if part != "train":
            numbers.clear()
            trainer.evaluate(part)
        found[part] = {"own": list(numbers), "all": trainer.split[part].tolist()}
    return found


def main(folder: Path) -> None:
    """Train all scenarios and leave what each rank came to in a file of its own."""
    torch.set_num_threads(1)
    with joined_ranks() as ranks:
        found = {"float32": outcome("missing targets", folder / "float32", ranks)}
        interrupted("missing targets", folder / "resumed", ranks)
        found["resumed"] = outcome("missing targets", folder / "resumed", ranks, resume=True)
        for again in ("dropout", "dropout again"):
            drops = {"epochs": 1, "dropout": 0.3, "attn_drop": 0.3, "drop_path": 0.3}
            found[again] = outcome("classes", folder / again, ranks, **drops)
        found["seen"] = seen_graphs(folder / "seen", ranks)
        found["drawn"] = {"numbers": torch.rand(5).tolist()}
        torch.set_default_dtype(torch.float64)
        for name in SCENARIOS:
            found[name] = outcome(name, folder / name, ranks)
    threads = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    found["threads"] = {"names": threads}
    (folder / f"rank-{ranks.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
