import json

import pytest
import torch
import yaml

from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.evaluate import evaluate_runs
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.precision import matmul_precision
from gradformer_dgl.training.runs import train_run
from gradformer_dgl.training.trained_run import open_run


def losses(folder):
    return [json.loads(line)["train_loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_bfloat16_learns_as_float32_does(request_for, tmp_path):
    for precision in ("fp32", "bf16"):
        train_run(request_for(epochs=8, attn_drop=0.0, folder=precision, precision=precision))
    exact, rounded = (losses(tmp_path / precision / "seed-0") for precision in ("fp32", "bf16"))
    assert exact != rounded
    assert rounded[0] == pytest.approx(exact[0], rel=0.05)
    assert rounded[-1] < 0.8 * rounded[0]


def test_evaluation_has_the_precision_of_the_run(request_for, tmp_path):
    result = train_run(request_for(precision="bf16"))
    run = open_run(tmp_path / "run")
    assert run.config.precision == "bf16"
    assert evaluate_runs(run)["mean"] == result["mean"]
    trainer = Trainer(run.dataset, run.config, 0, tmp_path)
    seen = []
    model = trainer.network.model
    # Products within the layers are rounded, outputs are not.
    for module in (model.layers[0].mlp[0], model.head):
        module.register_forward_hook(lambda _, given, out: seen.append(out.dtype))
    trainer.network.register_forward_hook(lambda _, given, out: seen.append(out.dtype))
    trainer.evaluate("val")
    assert seen[:3] == [torch.bfloat16, torch.float32, torch.float32]
    assert all(tensor.dtype != torch.bfloat16 for tensor in trainer.network.state_dict().values())


def test_a_run_from_before_the_setting_opens_and_goes_on(request_for, tmp_path):
    train_run(request_for())
    file = tmp_path / "run" / "config.yaml"
    description = yaml.safe_load(file.read_text())
    del description["config"]["precision"]
    file.write_text(yaml.safe_dump(description))
    assert open_run(tmp_path / "run").config == request_for().config
    before = losses(tmp_path / "run" / "seed-0")
    train_run(request_for(resume=True))
    assert losses(tmp_path / "run" / "seed-0") == before
    assert not RunConfig().matches(None)
    assert RunConfig().matches({})
    assert not RunConfig(precision="tf32").matches({})


def test_tf32_is_allowed_within_the_block_alone():
    before = torch.backends.cuda.matmul.allow_tf32
    with matmul_precision("tf32"):
        assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32 == before
    with matmul_precision("fp32"):
        assert torch.backends.cuda.matmul.allow_tf32 == before


def test_tf32_on_a_cpu_is_fp32(request_for, tmp_path):
    for precision in ("fp32", "tf32"):
        train_run(request_for(epochs=1, folder=precision, precision=precision))
    assert losses(tmp_path / "fp32" / "seed-0") == losses(tmp_path / "tf32" / "seed-0")


def test_precisions_are_named():
    with pytest.raises(ConfigError, match="precision is one of fp32, tf32, bf16, not 'fp16'"):
        RunConfig(precision="fp16")
