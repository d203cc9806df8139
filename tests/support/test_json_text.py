"""JSON of numbers that are not finite."""

from gradformer_dgl.support.json_text import json_text


def test_what_is_not_finite_is_null():
    value = {"test": float("nan"), "runs": [1.5, float("inf")]}
    assert json_text(value) == '{"test": null, "runs": [1.5, null]}'
