"""Durations and sizes as they are logged."""

from gradformer_dgl.preprocess.estimate import bytes_text, duration_text


def test_durations():
    assert [duration_text(seconds) for seconds in (0.25, 48.3, 600, 12345)] == [
        "0.25 s",
        "48 s",
        "10 min",
        "3.4 h",
    ]


def test_sizes():
    assert [bytes_text(count) for count in (1500, 3.2e6, 4.56e10)] == ["1.5 kB", "3.2 MB", "46 GB"]
