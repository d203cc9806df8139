"""How long a training step and a forward pass take, and how much memory, beside other libraries.

The step is the whole of it: cutting the batch, forward, loss, backward and the optimiser. CLUSTER is
generated.

    python benchmarks/training_step.py --data-root DIR
"""

import dataclasses
import functools
import tempfile
from pathlib import Path

import click
from contenders import LABELS, Setting, measure

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
    """Return a Markdown table of all contenders, with ratios to ours."""
    setting = SETTINGS[name]
    lines = [
        f"### {name}: {setting}, one thread",
        "",
        "| | ms a step | (least) | graphs/s | peak memory, MB | time, ratio | memory, ratio "
        "| ms in inference | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    ours = costs["ours"]
    for contender, cost in costs.items():
        lines.append(
            f"| {LABELS[contender]} | {cost.step:.0f} | {min(cost.train):.0f} "
            f"| {1000 * setting.batch / cost.step:,.0f} | {cost.memory:.0f} | {cost.step / ours.step:.1f} "
            f"| {cost.memory / ours.memory:.1f} | {cost.forward:.1f} | {cost.forward / ours.forward:.1f} |"
        )
    shares = ", ".join(f"{part} {100 * share:.0f} %" for part, share in ours.shares.items())
    return "\n".join([*lines, "", f"Where our step goes: {shares}."])


@click.command(help=__doc__)
@click.option("--data-root", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--dataset", "names", type=click.Choice(list(SETTINGS)), multiple=True, default=list(SETTINGS))
@click.option("--steps", default=30, show_default=True, help="Steps measured, after three of warm-up.")
def main(data_root, names, steps):
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            dataset = functools.partial(load, name, data_root, folder)
            dataset()
            costs = {each: measure(each, dataset, SETTINGS[name], steps) for each in LABELS}
            click.echo(table(name, costs) + "\n")


if __name__ == "__main__":
    main()
