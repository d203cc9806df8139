import math

import pytest
import torch

from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.schedule import learning_rate_factor, warmup_cosine


def test_factors_are_the_published_ones(golden):
    cases = sorted({name.split("/")[1] for name in golden if name.startswith("sched/")})
    assert cases
    for case in cases:
        warmup, total = int(golden[f"sched/{case}/warmup"]), int(golden[f"sched/{case}/total"])
        for step, expected in enumerate(golden[f"sched/{case}/factor"]):
            assert warmup_cosine(step, warmup, total) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def test_a_run_begins_small_peaks_after_the_warm_up_and_ends_near_zero():
    factors = [learning_rate_factor("cosine", step, 7, 13, warmup_epochs=1.4) for step in range(7 * 13)]
    assert factors[0] == pytest.approx(1 / 10)
    assert max(factors) == factors[10] == 1.0
    assert factors == sorted(factors[:11]) + sorted(factors[11:], reverse=True)
    assert 0 < factors[-1] < 0.01


def test_constant_never_changes():
    assert {learning_rate_factor("constant", step, 5, 10, 2.0) for step in range(50)} == {1.0}


def test_the_schedule_of_the_published_code_steps_by_epochs_and_counts_batches():
    steps_per_epoch, epochs, warmup = 5, 40, 4
    factors = [
        learning_rate_factor("reference", step, steps_per_epoch, epochs, warmup)
        for step in range(steps_per_epoch * epochs)
    ]
    by_epoch = factors[::steps_per_epoch]
    assert factors == [factor for factor in by_epoch for _ in range(steps_per_epoch)]
    assert by_epoch[:5] == [1e-6, 0.25, 0.5, 0.75, 1.0]
    through = (39 - 4) / (5 * 40 - 4)
    assert by_epoch[-1] == pytest.approx((1 + math.cos(math.pi * through)) / 2)
    assert by_epoch[-1] > 0.9


def test_it_is_a_scheduler_of_torch_that_steps_once_an_epoch():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=3.0)
    steps_per_epoch, epochs = 3, 9
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, 2, steps_per_epoch * epochs)
    )
    for epoch in range(epochs):
        for batch in range(steps_per_epoch):
            step = epoch * steps_per_epoch + batch
            factor = learning_rate_factor("reference", step, steps_per_epoch, epochs, 2.0)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(3.0 * factor)
            optimizer.step()
        scheduler.step()


def test_unknown_schedule():
    with pytest.raises(ConfigError, match="schedule is constant, cosine or reference, not 'step'"):
        learning_rate_factor("step", 0, 1, 2, 0.0)
