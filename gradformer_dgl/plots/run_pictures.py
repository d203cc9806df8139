"""The two pictures that training leaves in a run folder: the training curve and the learned decay."""

from pathlib import Path

from gradformer_dgl.plots.curves import curves_figure
from gradformer_dgl.plots.decay import decay_figure
from gradformer_dgl.plots.style import write_picture
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.seed_files import read_records


def draw_run(spec: RunSpec) -> None:
    """Draw the training of every seed, and the decay that each head learned beside the one it started from.

    A model without a learned decay leaves no picture of one, not even that of an earlier run in the folder.
    """
    folder = Path(spec.folder)
    records = {seed: read_records(spec.seed_folder(seed)) for seed in spec.seeds}
    write_picture(curves_figure(records), folder / "curve.png")
    learned = {seed: epochs[-1]["tau"] for seed, epochs in records.items() if "tau" in epochs[-1]}
    if learned:
        write_picture(decay_figure(spec.config, learned), folder / "decay.png")
    else:
        (folder / "decay.png").unlink(missing_ok=True)
