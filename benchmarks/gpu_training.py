"""Time and memory of an epoch of training on a GPU, by batch size and precision.

ZINC (10 layers, batches of 32 and 128), NCI1 and CLUSTER with the settings of their presets: the fused
kernel beside our own model forced to batches padded to their largest graph, under torch.compile, and under
it with CUDA graphs, which are recorded anew for batches of other sizes. The data set lies on the device;
every contender has a process of its own. An epoch is the training graphs once, without validation; another
one goes before it.

    python benchmarks/gpu_training.py --data-root DIR

runs everything; with ``--device cpu`` it runs where there is no GPU, to see that it does.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import click

CASES = {
    "ZINC, batch 32": ("ZINC", {"batch_size": 32}),
    "ZINC, batch 128": ("ZINC", {"batch_size": 128}),
    "NCI1, batch 128": ("NCI1", {"batch_size": 128}),
    "CLUSTER, batch 16": ("CLUSTER", {"batch_size": 16}),
}
CONTENDERS = ("ours", "padded", "compiled", "CUDA graphs")
COMPILED = {"compiled": {"dynamic": True}, "CUDA graphs": {"mode": "reduce-overhead"}}


def prepare(name, data_root, folder):
    """Return the cache of a data set with what its preset asks for."""
    from gradformer_dgl.data import load_dataset
    from gradformer_dgl.experiments.caches import ensure_cache
    from gradformer_dgl.training.config import load_preset, preset_for

    encodings = load_preset(preset_for(name)).encodings
    return ensure_cache(load_dataset(name, data_root), Path(folder) / f"{name}.h5", encodings, jobs=-1)


def epoch_of(case, contender, precision, device, data_root, cache, most_steps, answers):
    """Put seconds and peak megabytes of an epoch on a queue; fewer steps stand for all of them."""
    import torch

    from gradformer_dgl.kernels.attention import attention_backend
    from gradformer_dgl.training.config import load_preset, preset_for
    from gradformer_dgl.training.loop import Trainer
    from gradformer_dgl.training.run_spec import RunSpec

    name, changes = CASES[case]
    config = load_preset(preset_for(name)).updated({**changes, "precision": precision})
    request = RunSpec(name, data_root, str(cache), "", config, (0,))
    dataset = request.open_dataset()
    trainer = Trainer(dataset, config, 0, Path(), device)
    steps = min(trainer.steps_per_epoch, most_steps)
    all_steps = trainer.steps_per_epoch
    trainer.split["train"] = trainer.split["train"][: steps * config.batch_size]
    backend = contextlib.nullcontext()
    if contender == "padded":
        backend = attention_backend("blocks", max_blocks=1)
    if contender in COMPILED:
        trainer.network.compile(**COMPILED[contender])
    on_gpu = device.startswith("cuda")
    with backend:
        trainer.train_epoch(0)
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        begin = time.perf_counter()
        trainer.train_epoch(1)
        if on_gpu:
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - begin) / steps * all_steps
    memory = torch.cuda.max_memory_allocated() / 1e6 if on_gpu else float("nan")
    answers.put(json.dumps({"seconds": seconds, "memory": memory}))


@dataclasses.dataclass(frozen=True)
class Place:
    """Device, data and length of all measurements."""

    device: str
    data_root: str | None
    most_steps: int

    def measure(self, case, contender, precision, cache):
        """Measure one contender in a process of its own; None where it fails, for want of memory say."""
        context = multiprocessing.get_context("spawn")
        answers = context.SimpleQueue()
        arguments = (case, contender, precision, self.device, self.data_root, cache, self.most_steps, answers)
        process = context.Process(target=epoch_of, args=arguments)
        process.start()
        process.join()
        return None if process.exitcode else json.loads(answers.get())


@click.command(help=__doc__)
@click.option("--data-root", type=click.Path())
@click.option("--case", "cases", type=click.Choice(list(CASES)), multiple=True, default=list(CASES))
@click.option("--precision", "precisions", multiple=True, default=("fp32", "tf32", "bf16"))
@click.option("--device", default="cuda", show_default=True)
@click.option("--steps", default=10**6, help="Most steps of an epoch that are measured.")
def main(data_root, cases, precisions, device, steps):
    """Print a Markdown table."""
    place = Place(device, data_root, steps)
    heads = " | ".join(f"{name} | ratio" for name in CONTENDERS[1:])
    print(f"| | precision | seconds an epoch | {heads} | peak memory, MB | {heads} |")
    print("|---|---" + "|---:" * (4 * len(CONTENDERS) - 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            cache = prepare(CASES[case][0], data_root, folder)
            for precision in precisions:
                costs = [place.measure(case, name, precision, cache) for name in CONTENDERS]
                cells = []
                for key in ("seconds", "memory"):
                    ours, *others = (float("nan") if cost is None else cost[key] for cost in costs)
                    cells.append(f"{ours:.3g}")
                    cells += [f"{other:.3g} | {other / ours:.2f}" for other in others]
                print(f"| {case} | {precision} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
