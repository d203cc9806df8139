"""Training and evaluation of one model on one split."""

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.data.colours import with_colours
from gradformer_dgl.nn.decay import ExponentialDecay
from gradformer_dgl.pairs.cutoff import CutoffWatch
from gradformer_dgl.pairs.sparse import SparsePairDistances
from gradformer_dgl.support.errors import ConfigError, RunError
from gradformer_dgl.training.batch_loader import THE_ONLY_GRAPH, BatchSupply, batches
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.distributed import ALONE, Ranks
from gradformer_dgl.training.feature_scale import feature_scales
from gradformer_dgl.training.network import Network, build_model
from gradformer_dgl.training.objectives import as_targets, objective_for
from gradformer_dgl.training.outputs import EVALUATION_BATCHES, labels_of, predict
from gradformer_dgl.training.precision import matmul_precision
from gradformer_dgl.training.resume import load_checkpoint, save_checkpoint
from gradformer_dgl.training.schedule import learning_rate_factor
from gradformer_dgl.training.seed_files import WEIGHTS, NoFiles, SeedFiles
from gradformer_dgl.training.splits import split_of
from gradformer_dgl.training.step_memory import require_step_memory
from gradformer_dgl.training.time_estimate import Pace

SECONDS_BETWEEN_CHECKPOINTS = 10.0


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """What one seed came to. Scores are in the unit of the metric, at the best validation epoch.

    ``also`` has the further test scores that the objective names.
    """

    seed: int
    best_epoch: int
    val: float
    test: float
    parameters: int
    seconds: float
    also: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Step:
    """What an optimiser step left on the device: of this rank's share of a batch, but for the items.

    ``loss`` is what the share adds to the mean loss of the batch, ``items`` how many the batch has,
    ``outputs`` are on the training scale and ``targets`` in their own unit, a row each per item of the share.
    """

    loss: Tensor
    items: int
    outputs: Tensor
    targets: Tensor


EpochCallback = Callable[[int, dict[str, Any]], None]


class Trainer:
    """Train one network on one split, epoch by epoch.

    Everything random in an epoch follows from the seed, the epoch's number and the rank, so that a run that
    goes on from a checkpoint ends with the numbers of an uninterrupted one. Without dropout the ranks of a
    shared training come to the numbers of a process alone, but for rounding: they see the same batches, and
    gradients and batch statistics are those of the whole batch.

    Parameters
    ----------
    dataset : GraphDataset
        With distances, and the encodings that the settings ask for.
    config : RunConfig
        Settings of the run.
    seed : int
        Seed of split, initial weights, order of batches and dropout.
    folder : Path
        Where metrics, checkpoint and weights of this seed are written.
    device : str
        ``"cpu"`` or a CUDA device.
    ranks : Ranks
        The processes that share every batch; the first writes the files.
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
        self.split = split_of(dataset, config, seed)
        known_graphs = THE_ONLY_GRAPH if dataset.splits_nodes else self.split["train"]
        colours = None
        if config.wl_rounds:
            dataset, colours = with_colours(
                dataset, config.wl_rounds, known_graphs, config.wl_min_graphs, config.wl_counted
            )
        self.dataset, self.config, self.seed, self.folder, self.device = dataset, config, seed, folder, device
        self.ranks = ranks
        self.files = SeedFiles(folder) if ranks.is_first else NoFiles(folder)
        self.supply = BatchSupply(dataset.graphs, device)
        self.objective = objective_for(dataset.task, config.class_weights)
        torch.manual_seed(seed)
        targets = as_targets(labels_of(dataset, self.split["train"]), dataset.task)
        scaled = dataset.task == "regression" and config.standardize
        model = build_model(dataset, config, colours)
        scales = feature_scales(dataset.graphs, known_graphs) if config.standardize_features else (None, None)
        self.network = Network(model, targets if scaled else None, config.precision, *scales)
        self.network.to(device)
        ranks.synchronize_norms(self.network)
        # What is validated, tested and kept: the network that is trained, or its running average.
        self.scored = copy.deepcopy(self.network) if config.average else self.network
        self.averaged, self.counted = self._state(floating=True), self._state(floating=False)
        self.parallel = ranks.parallel(self.network)
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
        self.optimizer = kind(
            self.network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.steps_per_epoch = len(self._batches(self.split["train"]))
        self.watch = None
        if isinstance(dataset.graphs.distances, SparsePairDistances):
            self.watch = CutoffWatch.of(dataset.graphs.distances)
        # Of a graph: the pairs of attention, and the products of its nodes with matrices.
        counts = dataset.graphs.node_counts
        self.costs = counts * (counts + config.feat_size)
        self.pace = Pace(f"seed {seed}", self.steps_per_epoch, config.epochs)
        self.records: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self.best_weights: dict[str, Tensor] = {}
        self.seconds = 0.0

    @property
    def first_candidate(self) -> int:
        """Number of the first epoch, from 0, that can be the best of a training that goes on to its end."""
        return int(self.config.epochs * self.config.select_after + 1e-6)

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.network.parameters() if parameter.requires_grad)

    def _state(self, floating: bool) -> tuple[list[Tensor], list[Tensor]]:
        """Return what is scored and what is trained, numbers that can be averaged or counts."""
        scored, trained = (
            [part for part in network.state_dict().values() if part.is_floating_point() == floating]
            for network in (self.scored, self.network)
        )
        return scored, trained

    def _batches(self, indices: Tensor) -> list[Tensor]:
        # A graph whose nodes are split is trained on as a whole.
        return [indices] if self.dataset.splits_nodes else list(batches(indices, self.config.batch_size))

    def train_epoch(self, epoch: int) -> tuple[float, float]:
        """Pass once over the training data; return the mean loss on the training scale, and the metric.

        Both come of what the steps computed anyway: each graph with the weights of its step, and dropout.
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
        shares = (part[self.ranks.share(self.costs[part])] for part in parts)
        if self.dataset.splits_nodes:
            shares = (THE_ONLY_GRAPH for _ in parts)
        for number, (part, batch) in enumerate(zip(parts, self.supply.each(shares), strict=True)):
            step = self.train_step(epoch * self.steps_per_epoch + number, part, batch)
            total += step.loss * step.items
            items += step.items
            outputs.append(step.outputs)
            targets.append(step.targets)
            self.pace.step()
        mean = self.ranks.sum(total).item() / max(1, items)
        if not math.isfinite(mean):
            raise RunError(
                f"the training loss of seed {self.seed} is {mean} in epoch {epoch + 1}: "
                "lower --lr, clip the gradient with --clip-norm 1, and look for extreme features or targets"
            )
        found, given = (self.ranks.concatenate(torch.cat(rows).cpu()) for rows in (outputs, targets))
        return mean, self.objective.report(self._in_target_units(found), given)

    def train_step(self, step: int, part: Tensor, batch: GraphBatch) -> Step:
        """Take an optimiser step on this rank's share of a batch of graphs."""
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
        # Before the forward pass: gradients that lie about during it cut up the heap.
        self.optimizer.zero_grad(set_to_none=True)
        if self.config.wl_apart:
            parts = list(self.parallel(batch, apart=True)[:, chosen])
        else:
            parts = [self.parallel(batch)[chosen]]
        loss = torch.stack([self.objective.loss(part, targets, whole) for part in parts]).mean()
        # Gradients are averaged over the ranks, but the losses of their shares add up.
        (loss * self.ranks.size).backward()
        if self.config.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimizer.step()
        if self.config.average:
            self.update_average(step)
        outputs = self.network.model.averaged([part.detach() for part in parts])
        return Step(loss.detach(), len(whole), outputs, given)

    @torch.no_grad()
    def update_average(self, step: int) -> None:
        """Move the averaged weights, and running statistics, towards those after an optimiser step.

        The first steps count for more, so that the average soon forgets the initial weights.
        """
        share = min(self.config.average, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self.averaged, 1 - share)
        for kept, present in zip(*self.counted, strict=True):
            kept.copy_(present)

    def run_epoch(self, epoch: int) -> dict[str, Any]:
        """Train one epoch, validate, and remember the weights where they are the best so far."""
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
        if self._is_best(epoch, val_score, val_loss):
            self.best = {"epoch": epoch + 1, "val": val_score, "val_loss": val_loss}
            self.best_weights = {name: tensor.clone() for name, tensor in self.scored.state_dict().items()}
        self.records.append(record)
        return record

    def _is_best(self, epoch: int, score: float, loss: float) -> bool:
        if not self.best or epoch == self.first_candidate:
            return True
        # A score that validation graphs of one class do not give cannot tell epochs apart.
        if self.config.select_by == "loss" or math.isnan(score):
            return loss < self.best["val_loss"]
        if self.objective.better(score, self.best["val"]):
            return True
        # Of equal scores, frequent with few validation graphs, the one with the lower loss is the better.
        return score == self.best["val"] and loss < self.best["val_loss"]

    def evaluate(self, part: str) -> tuple[float, float]:
        """Loss on the training scale and metric in its unit on ``"train"``, ``"val"`` or ``"test"``.

        With the weights that are scored, over all graphs at once.
        """
        outputs, targets = self._predictions(part)
        loss = self.objective.loss(outputs, self.scored.standardized(targets))
        return loss.item(), self.objective.report(self._in_target_units(outputs), targets)

    def scores(self, part: str) -> tuple[float, dict[str, float]]:
        """Return the metric and the further scores of the objective, as :meth:`evaluate` finds them."""
        outputs, targets = self._predictions(part)
        outputs = self._in_target_units(outputs)
        return self.objective.report(outputs, targets), self.objective.report_also(outputs, targets)

    def _predictions(self, part: str) -> tuple[Tensor, Tensor]:
        indices, size = self.split[part], EVALUATION_BATCHES * self.config.batch_size
        with matmul_precision(self.config.precision):
            outputs = predict(self.scored, self.supply, indices, size, self.ranks)
        return outputs, as_targets(labels_of(self.dataset, indices), self.dataset.task)

    def _in_target_units(self, outputs: Tensor) -> Tensor:
        return self.scored.in_target_units(outputs) if self.dataset.task == "regression" else outputs

    @property
    def is_over(self) -> bool:
        """Whether the last epoch is done, or none has been better for as long as the settings wait."""
        done, patience = len(self.records), self.config.patience
        since = max(self.best.get("epoch", done), self.first_candidate)
        return done >= self.config.epochs or bool(patience and done - since >= patience)

    def run(self, on_epoch: EpochCallback | None = None, resume: bool = False) -> SeedResult:
        """Train until it :attr:`is_over`, and test the best weights.

        Parameters
        ----------
        on_epoch : callable, optional
            Called with the seed and the record after every epoch.
        resume : bool
            Go on from the folder's checkpoint where it has one.

        Raises
        ------
        RunError
            Where the loss is no longer finite, or a file cannot be written or read.
        GraphError
            Where a step on one large graph would not fit into memory.
        """
        require_step_memory(self.network, self.dataset.graphs, f"seed {self.seed}")
        if resume:
            load_checkpoint(self)
        self.files.begin(self.records)
        saved_at = -math.inf
        while not self.is_over:
            record = self.run_epoch(len(self.records))
            self.files.add(record)
            if on_epoch is not None:
                on_epoch(self.seed, record)
            # Only whole epochs are saved: a run that is interrupted goes on from the last of them.
            if self.is_over or time.monotonic() - saved_at > SECONDS_BETWEEN_CHECKPOINTS:
                save_checkpoint(self)
                saved_at = time.monotonic()
        self.scored.load_state_dict(self.best_weights)
        facts = {"seed": self.seed, "epoch": self.best["epoch"]}
        self.files.save(WEIGHTS, self.best_weights, facts)
        test, also = self.scores("test")
        return SeedResult(
            seed=self.seed,
            best_epoch=self.best["epoch"],
            val=self.best["val"],
            test=test,
            parameters=self.parameters,
            seconds=round(self.seconds, 3),
            also=also,
        )
