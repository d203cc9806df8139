"""Time and memory of a training step and a forward pass, beside other libraries.

The step is the whole of it: cutting the batch, forward, loss, backward and the optimiser. CLUSTER is
generated. Each contender runs in a fresh process in every round, all of them in turns. Times are medians over
the steps of all rounds, ratios those of medians; in brackets from the lowest to the highest round.

    python benchmarks/training_step.py --data-root DIR
"""

import dataclasses
import functools
import tempfile
from pathlib import Path

import click
from contenders import LABELS, Setting
from step_costs import between, measure

SETTINGS = {
    "NCI1": Setting(4, 64, 4, 128, "gin"),
    "ZINC12k": Setting(10, 64, 4, 32, "gine"),
    "CLUSTER": Setting(16, 48, 8, 16, "gatedgcn"),
}


def load(name, data_root, folder):
    """Return the data set with its distances."""
    from gradformer_dgl.cache import DistanceCache
    from gradformer_dgl.data import load_dataset
    from gradformer_dgl.preprocess import preprocess_graphs

    options = {"graphs": (400, 50, 50)} if name == "CLUSTER" else {}
    dataset = load_dataset(name, data_root, **options)
    path = Path(folder) / f"{name}.h5"
    if not path.exists():
        preprocess_graphs(dataset.graphs, path, n_jobs=1)
    graphs = dataset.graphs.with_cache(DistanceCache(path), verify=False)
    return dataclasses.replace(dataset, graphs=graphs)


def table(name, costs):
    """Return a Markdown table of the contenders, with ratios to ours."""
    setting = SETTINGS[name]
    ours = costs["ours"]
    by_round = [len(times) for times in ours.train.rounds]
    lines = [
        f"### {name}: {setting}, one thread, {len(by_round)} x {by_round[0]} steps",
        "",
        "| | ms a step (rounds) | least | graphs/s | ratio (rounds) | peak memory, MB | ratio "
        "| ms in inference (rounds) | least | ratio (rounds) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for contender, cost in costs.items():
        lines.append(
            f"| {LABELS[contender]} | {cost.train.median:.0f}{between(cost.train.medians)} "
            f"| {cost.train.least:.0f} | {1000 * setting.batch / cost.train.median:,.0f} "
            f"| {_ratio(cost.train, ours.train)} | {cost.memory:.0f} | {cost.memory / ours.memory:.1f} "
            f"| {cost.inference.median:.1f}{between(cost.inference.medians, 1)} "
            f"| {cost.inference.least:.1f} | {_ratio(cost.inference, ours.inference)} |"
        )
    shares = ", ".join(f"{part} {100 * share:.0f} %" for part, share in ours.shares.items())
    return "\n".join([*lines, "", f"Where our step goes: {shares}."])


def _ratio(times, ours):
    by_round = "" if times is ours else between(times.ratios(ours), 1)
    return f"{times.median / ours.median:.1f}{by_round}"


@click.command(help=__doc__)
@click.option("--data-root", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--dataset", "names", type=click.Choice(list(SETTINGS)), multiple=True, default=list(SETTINGS))
@click.option(
    "--contender",
    "contenders",
    multiple=True,
    type=click.Choice(list(LABELS)),
    help="Default: all. Ours is measured in any case.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Steps measured, shared out among the rounds; in each, three of warm-up come before.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Fresh processes for each contender.",
)
def main(data_root, names, contenders, steps, rounds):
    chosen = [each for each in LABELS if each in {"ours", *(contenders or LABELS)}]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            dataset = functools.partial(load, name, data_root, folder)
            dataset()
            costs = measure(chosen, dataset, SETTINGS[name], steps, rounds)
            click.echo(table(name, costs) + "\n")


if __name__ == "__main__":
    main()
