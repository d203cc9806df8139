"""Training loop: one model on one split, epoch by epoch."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.nn.decay import ExponentialDecay
from gradformer_dgl.nn.norm import running_statistics
from gradformer_dgl.pairs.cutoff import CutoffWatch
from gradformer_dgl.pairs.sparse import SparsePairDistances
from gradformer_dgl.support.errors import ConfigError, RunError
from gradformer_dgl.training.batch_loader import THE_ONLY_GRAPH, BatchLoader, batches
from gradformer_dgl.training.best_epoch import BestEpoch
from gradformer_dgl.training.checkpoint import save_checkpoint
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.distributed import ALONE, Ranks
from gradformer_dgl.training.moving_average import MovingAverage
from gradformer_dgl.training.network import Network, build_model, feature_scales, model_class
from gradformer_dgl.training.objectives import as_targets, objective_of
from gradformer_dgl.training.outputs import EVALUATION_BATCHES, labels_of, predict
from gradformer_dgl.training.precision import matmul_precision
from gradformer_dgl.training.schedule import learning_rate_factor
from gradformer_dgl.training.seed_files import WEIGHTS, NoFiles, SeedFiles
from gradformer_dgl.training.splits import split_of
from gradformer_dgl.training.step_memory import require_step_memory
from gradformer_dgl.training.time_estimate import TimeEstimate

SECONDS_BETWEEN_CHECKPOINTS = 10.0


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """Scores of one seed at the best validation epoch, in the unit of the metric; ``also`` has further.

    ``selected_by`` tells whether that epoch was the best by the ``"metric"`` or the ``"loss"``.
    """

    seed: int
    best_epoch: int
    val: float
    test: float
    parameters: int
    seconds: float
    also: dict[str, float] = dataclasses.field(default_factory=dict)
    selected_by: str = "metric"


@dataclasses.dataclass(frozen=True)
class Step:
    """Result of an optimiser step, on the device.

    ``loss`` is the part of the mean loss that this rank's items add; ``items`` counts the whole batch.
    ``outputs`` of this rank's items are on the training scale, ``targets`` in their own unit.
    """

    loss: Float[Tensor, ""]
    items: int
    outputs: Float[Tensor, "items outputs"]
    targets: Shaped[Tensor, "items *outputs"]


EpochCallback = Callable[[int, dict[str, Any]], None]


class Trainer:
    """Train one network on one split, epoch by epoch.

    Everything random in an epoch follows from the seed, the epoch's number and the rank, so that a run that
    resumes from a checkpoint ends with the numbers of an uninterrupted one. Without dropout the ranks of a
    shared training end with the numbers of a single process, but for rounding: they see the same batches, and
    gradients and batch statistics are those of the whole batch.
    """

    def __init__(
        self,
        dataset: GraphDataset,
        config: RunConfig,
        seed: int,
        folder: Path,
        device: str = "cpu",
        ranks: Ranks = ALONE,
    ) -> None:
        if dataset.graphs.distances is None:
            raise ConfigError(f"{dataset.name} has no distances attached: use PackedGraphs.with_cache")
        if dataset.splits_nodes and ranks.size > 1:
            raise ConfigError(f"{dataset.name} is one graph, which several processes cannot share: take one")
        graphs = model_class(config).prepare(dataset.graphs, config)
        self.dataset = dataset = dataclasses.replace(dataset, graphs=graphs)
        self.config, self.seed, self.folder, self.device, self.ranks = config, seed, folder, device, ranks
        self.files = SeedFiles(folder) if ranks.is_first else NoFiles(folder)
        self.objective = objective_of(dataset.task, config)
        self.split = split_of(dataset, config, seed)
        self.loader = BatchLoader(graphs, device)
        self.network = self._initial_network()
        self.average = MovingAverage(self.network, config.ema_decay) if config.ema_decay else None
        # Validated, tested and kept: the network that is trained, or its moving average.
        self.scored = self.average.network if self.average else self.network
        self.parallel = ranks.parallel(self.network)
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
        self.optimizer = kind(
            self.network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.steps_per_epoch = len(self._batches(self.split["train"]))
        self.watch = None
        if isinstance(graphs.distances, SparsePairDistances):
            self.watch = CutoffWatch.of(graphs.distances)
        # Of a graph: the pairs of attention, and the products of its nodes with matrices.
        self.costs = graphs.node_counts * (graphs.node_counts + config.feat_size)
        self.estimate = TimeEstimate(f"seed {seed}", self.steps_per_epoch, config.epochs)
        self.records: list[dict[str, Any]] = []
        self.best = BestEpoch(config, self.objective)
        self.seconds = 0.0

    def _initial_network(self) -> Network:
        dataset, config = self.dataset, self.config
        torch.manual_seed(self.seed)
        training = THE_ONLY_GRAPH if dataset.splits_nodes else self.split["train"]
        fitted = model_class(config).fit(dataset.graphs, config, training)
        targets = None
        if dataset.task == "regression" and config.standardize:
            targets = as_targets(labels_of(dataset, self.split["train"]), dataset.task)
        model = build_model(dataset, config, **fitted)
        scales = feature_scales(dataset.graphs, training) if config.standardize_features else (None, None)
        network = Network(model, targets, config.precision, *scales).to(self.device)
        self.ranks.synchronize_norms(network)
        return network

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.network.parameters() if parameter.requires_grad)

    def _batches(self, indices: Int64[Tensor, " _"]) -> list[Tensor]:
        # A graph whose nodes are split is trained on as a whole.
        return [indices] if self.dataset.splits_nodes else list(batches(indices, self.config.batch_size))

    def _own_graphs(self, parts: list[Tensor]) -> Iterator[Tensor]:
        """Return the graphs of each batch that this rank computes."""
        if self.dataset.splits_nodes:
            return (THE_ONLY_GRAPH for _ in parts)
        return (part[self.ranks.own_items(self.costs[part])] for part in parts)

    def train_epoch(self, epoch: int) -> tuple[float, float]:
        """Pass once over the training data; return the mean loss on the training scale, and the metric.

        Both are of the outputs of the steps: each graph with the weights of its step, and dropout.
        """
        seed = self.seed * 1_000_003 + epoch
        generator = torch.Generator().manual_seed(seed)
        order = self.split["train"][torch.randperm(len(self.split["train"]), generator=generator)]
        # A generator on the CPU reads the lower 32 bits alone.
        torch.manual_seed((seed + self.ranks.rank * 1_442_695_041) % 2**63)
        self.network.train()
        total, items = torch.zeros((), device=self.device), 0
        # They stay on the device until the epoch ends, so that no step waits for another.
        outputs, targets = [], []
        parts = self._batches(order)
        loaded = self.loader.each(self._own_graphs(parts))
        for number, (part, batch) in enumerate(zip(parts, loaded, strict=True)):
            step = self.train_step(epoch * self.steps_per_epoch + number, part, batch)
            total += step.loss * step.items
            items += step.items
            outputs.append(step.outputs)
            targets.append(step.targets)
            self.estimate.step()
        mean = self.ranks.sum(total).item() / max(1, items)
        if not math.isfinite(mean):
            raise RunError(
                f"the training loss of seed {self.seed} is {mean} in epoch {epoch + 1}: lower --lr, clip the "
                "gradient with --gradient-clipping 1, and look for extreme features or targets"
            )
        found, given = (self.ranks.concatenate(torch.cat(rows).cpu()) for rows in (outputs, targets))
        return mean, self.objective.report(self._in_target_units(found), given)

    def train_step(self, step: int, part: Int64[Tensor, " _"], batch: GraphBatch) -> Step:
        """Take an optimiser step on this rank's graphs of a batch, whose items ``part`` numbers."""
        factor = learning_rate_factor(
            self.config.schedule, step, self.steps_per_epoch, self.config.epochs, self.config.warmup_epochs
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * factor
        assert batch.labels is not None
        chosen = part.to(batch.labels.device) if self.dataset.splits_nodes else slice(None)
        given = as_targets(batch.labels[chosen], self.dataset.task)
        targets = self.network.standardized(given)
        whole = targets
        if self.ranks.size > 1:
            whole = as_targets(labels_of(self.dataset, part), self.dataset.task)
        # Before the forward pass: gradients that lie about during it fragment the memory.
        self.optimizer.zero_grad(set_to_none=True)
        outputs = self._forward(part, batch)[chosen]
        loss = self.objective.loss(outputs, targets, whole)
        # Gradients are averaged over the ranks, but the losses of their items add up.
        (loss * self.ranks.size).backward()
        if self.config.gradient_clipping:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clipping)
        self.optimizer.step()
        if self.average:
            self.average.update(step)
        return Step(loss.detach(), len(whole), outputs.detach(), given)

    def _forward(self, part: Int64[Tensor, " _"], batch: GraphBatch) -> Float[Tensor, "rows outputs"]:
        """Return this rank's outputs of a batch of all ranks, which may have a single node."""
        single = not self.dataset.splits_nodes and int(self.dataset.graphs.node_counts[part].sum()) == 1
        try:
            with running_statistics(self.network) if single else contextlib.nullcontext():
                return self.parallel(batch)
        except ValueError as error:
            # Of a norm in a part of a user's own, which sees other rows than the nodes.
            if "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                f"a batch has a single row for a batch norm of the model: take a larger --batch-size than "
                f"{self.config.batch_size}"
            ) from error

    def run_epoch(self, epoch: int) -> dict[str, Any]:
        """Train one epoch, validate, and keep the weights where they are the best so far."""
        begin = time.perf_counter()
        with matmul_precision(self.config.precision):
            loss, score = self.train_epoch(epoch)
        val_loss, val_score = self.evaluate("val")
        self.seconds += time.perf_counter() - begin
        record = {
            "epoch": epoch + 1,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": loss,
            f"train_{self.objective.name}": score,
            "val_loss": val_loss,
            f"val_{self.objective.name}": val_score,
            "seconds": round(self.seconds, 3),
        }
        decay = getattr(self.network.model, "decay", None)
        if isinstance(decay, ExponentialDecay):
            record["tau"] = decay.tau.detach().tolist()
            if self.watch is not None:
                self.watch.check(decay)
        self.best.update(epoch, val_score, val_loss, self.scored)
        self.records.append(record)
        return record

    def evaluate(self, part: str) -> tuple[float, float]:
        """Return the loss on the training scale, and the metric in its unit, of a part of the split.

        Both are NaN where no target is given.
        """
        outputs, targets = self._predictions(part)
        if not len(targets) or bool(targets.isnan().all()):
            return math.nan, math.nan
        loss = self.objective.loss(outputs, self.scored.standardized(targets))
        return loss.item(), self.objective.report(self._in_target_units(outputs), targets)

    def _predictions(
        self, part: str
    ) -> tuple[Float[Tensor, "items outputs"], Shaped[Tensor, "items *outputs"]]:
        indices, size = self.split[part], EVALUATION_BATCHES * self.config.batch_size
        with matmul_precision(self.config.precision):
            outputs = predict(self.scored, self.loader, indices, size, self.ranks)
        return outputs, as_targets(labels_of(self.dataset, indices), self.dataset.task)

    def _in_target_units(self, outputs: Float[Tensor, "items outputs"]) -> Float[Tensor, "items outputs"]:
        return self.scored.in_target_units(outputs) if self.dataset.task == "regression" else outputs

    def run(self, on_epoch: EpochCallback | None = None) -> SeedResult:
        """Train until the last epoch or early stopping, and test the best weights."""
        require_step_memory(self.network, self.dataset.graphs, f"seed {self.seed}")
        self.files.begin(self.records)
        saved_at = -math.inf
        while not self.best.is_over(len(self.records)):
            record = self.run_epoch(len(self.records))
            self.files.add(record)
            if on_epoch is not None:
                on_epoch(self.seed, record)
            # Only whole epochs are saved: an interrupted run resumes from the last of them.
            is_over = self.best.is_over(len(self.records))
            if is_over or time.monotonic() - saved_at > SECONDS_BETWEEN_CHECKPOINTS:
                save_checkpoint(self)
                saved_at = time.monotonic()
        self.scored.load_state_dict(self.best.weights)
        best, selected_by = self.best.found, self.best.selected_by
        self.files.save(WEIGHTS, self.best.weights, {"seed": self.seed, "epoch": best["epoch"]})
        outputs, targets = self._predictions("test")
        outputs = self._in_target_units(outputs)
        return SeedResult(
            seed=self.seed,
            best_epoch=best["epoch"],
            val=best["val"],
            test=self.objective.report(outputs, targets),
            parameters=self.parameters,
            seconds=round(self.seconds, 3),
            also=self.objective.report_also(outputs, targets),
            selected_by=selected_by,
        )
