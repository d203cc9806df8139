"""JSON of numbers that are not finite."""

import json
import math

from gradformer_dgl.support.json_text import json_text, with_nan


def test_what_is_not_finite_is_null():
    value = {"test": float("nan"), "runs": [1.5, float("inf")]}
    assert json_text(value) == '{"test": null, "runs": [1.5, null]}'
    test, runs = with_nan(json.loads(json_text(value))).values()
    assert math.isnan(test)
    assert runs[0] == 1.5
    assert math.isnan(runs[1])
