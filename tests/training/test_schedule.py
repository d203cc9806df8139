import pytest

from gradformer_dgl.errors import ConfigError
from gradformer_dgl.training.schedule import learning_rate_factor, warmup_cosine


def test_factors_are_the_published_ones(golden):
    cases = sorted({name.split("/")[1] for name in golden if name.startswith("sched/")})
    assert cases
    for case in cases:
        warmup, total = int(golden[f"sched/{case}/warmup"]), int(golden[f"sched/{case}/total"])
        for step, expected in enumerate(golden[f"sched/{case}/factor"]):
            assert warmup_cosine(step, warmup, total) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def test_a_run_begins_small_peaks_after_the_warm_up_and_ends_near_zero():
    factors = [learning_rate_factor("cosine", step, warmup=7, total=101) for step in range(101)]
    assert factors[0] == pytest.approx(1 / 7)
    assert max(factors) == factors[7] == 1.0
    assert factors == sorted(factors[:8]) + sorted(factors[8:], reverse=True)
    assert 0 < factors[-1] < 0.01


def test_constant_never_changes():
    assert {learning_rate_factor("constant", step, 5, 50) for step in range(50)} == {1.0}


def test_unknown_schedule():
    with pytest.raises(ConfigError, match="schedule is constant or cosine, not 'step'"):
        learning_rate_factor("step", 0, 1, 2)
