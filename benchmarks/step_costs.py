"""Cost of a training step and a forward pass of the contenders.

Steps of the same code differ by a third from one process to the next. So every contender is measured in a
fresh process, with one thread, in each of several rounds: all contenders of the first round one after the
other, then those of the second. Processes of one round get the same batches.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import statistics
import time

import click
from contenders import LABELS, MODELS
from peak_memory import PeakMemory

WARM_UP = 3


@dataclasses.dataclass(frozen=True)
class Times:
    """Milliseconds of each step, by round."""

    rounds: list[list[float]]

    @property
    def median(self):
        """Median of all steps of all rounds."""
        return statistics.median(self._all())

    @property
    def least(self):
        """The quickest step of all rounds."""
        return min(self._all())

    @property
    def medians(self):
        """The median of each round."""
        return [statistics.median(times) for times in self.rounds]

    def ratios(self, ours):
        """Return how many times as long as another's the steps took, in each round."""
        return [mine / other for mine, other in zip(self.medians, ours.medians, strict=True)]

    def _all(self):
        return [step for times in self.rounds for step in times]


@dataclasses.dataclass(frozen=True)
class Cost:
    """Times of training steps and of forward passes in inference, memory, and where a step goes.

    Memory, in MB, is the peak of resident memory above that before the first step, in the round where it is
    highest.
    """

    train: Times
    inference: Times
    memory: float
    shares: dict[str, float]


def between(values, digits=0):
    """Return the lowest and the highest in brackets; nothing if there is one value."""
    return f" ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else ""


def measure(contenders, dataset, setting, steps, rounds, batches=None):
    """Return the costs of contenders, measured in turns.

    Parameters
    ----------
    contenders : sequence of str
        Keys of ``LABELS``.
    dataset : callable
        Called without arguments in each process: gives a ``GraphDataset`` with distances attached.
    setting : Setting
        Sizes.
    steps : int
        Number of steps of each contender, shared out among the rounds. Those for warming up come before.
    rounds : int
        Number of processes for each contender.
    batches : list of list of int, optional
        Graph numbers of each step in turn; random ones, others in every round, if not given.

    Returns
    -------
    dict of str to Cost
    """
    share = -(-steps // rounds)
    found = {contender: [] for contender in contenders}
    for turn in range(rounds):
        for contender in contenders:
            run = _run(contender, dataset, setting, share, turn, batches)
            click.echo(
                f"round {turn + 1} of {rounds}, {contender}: {statistics.median(run['train']):.1f} ms a step",
                err=True,
            )
            found[contender].append(run)
    return {contender: _joined(runs) for contender, runs in found.items()}


def _joined(runs):
    shares = {part: statistics.fmean(run["shares"][part] for run in runs) for part in runs[0]["shares"]}
    train, inference = (Times([run[kind] for run in runs]) for kind in ("train", "inference"))
    return Cost(train, inference, max(run["memory"] for run in runs), shares)


def _run(contender, dataset, setting, steps, turn, batches):
    """Return what one process found; where it had to compile kernels, another does it again."""
    arguments = (contender, dataset, setting, steps, turn, batches)
    first = _in_process(arguments)
    return _in_process(arguments) if first["compiled"] else first


def _in_process(arguments):
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    # For the OpenMP threads of torch and DGL alike, read when they are loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
    process = context.Process(target=_measure, args=(*arguments, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{LABELS[arguments[0]]} ended with status {process.exitcode}")
    return json.loads(answers.get())


def _measure(contender, dataset, setting, steps, turn, batches, answers):
    import torch
    from numba.core.event import install_recorder
    from torch.nn import functional as F

    from gradformer_dgl.kernels.attention import attention_backend

    torch.set_num_threads(1)
    torch.manual_seed(0)
    dataset = dataset()
    graphs = dataset.graphs
    if batches is None:
        order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(0))
        numbers = range(turn * steps, (turn + 1) * steps)
        starts = [number * setting.batch % (len(graphs) - setting.batch + 1) for number in numbers]
        batches = [order[start : start + setting.batch] for start in starts]
    model = MODELS[contender](dataset, setting)
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

    backend = contextlib.nullcontext()
    if contender == "padded":
        backend = attention_backend("blocks", max_blocks=1)
    with backend, install_recorder("numba:compile") as compiled:
        # Libraries and kernels that are loaded at the first call are no memory of a step.
        train(batches[0][:1])
        with PeakMemory() as memory:
            for chosen in batches:
                train(chosen)
        # Whoever watches takes turns with what is measured: steps are timed when nobody does.
        times = _times(train, batches, steps)
        model.eval()
        inference = _times(infer, batches, steps)
        model.train()
        # Last, for a profiler may leave something behind that slows down what follows.
        shares = _shares(train, graphs, batches[: max(3, steps // 3)]) if contender == "ours" else {}
    found = {"train": times, "inference": inference, "memory": memory.megabytes, "shares": shares}
    answers.put(json.dumps({**found, "compiled": bool(compiled.buffer)}))


def _times(action, batches, steps):
    """Return the milliseconds of steps after those for warming up, in which all kernels have to be loaded."""
    from numba.core.event import install_recorder

    for step in range(WARM_UP):
        action(batches[step % len(batches)])
    times = []
    with install_recorder("numba:compiler_lock") as loaded:
        for step in range(WARM_UP, WARM_UP + steps):
            start = time.perf_counter()
            action(batches[step % len(batches)])
            times.append(1000 * (time.perf_counter() - start))
    if loaded.buffer:
        raise RuntimeError("a kernel was compiled or loaded in a measured step")
    return times


_PARTS = {
    "attention": ("_Attention",),
    "message passing": ("GSpMM", "GSDDMM", "GatedMean", "AddActivated"),
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
