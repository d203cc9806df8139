"""Test accuracies in % that the paper reports, for the columns beside ours.

Source: Gradformer (https://arxiv.org/abs/2404.15729).
"""

from typing import Any

PaperNumbers = dict[tuple[str, str, Any], float]
"""By data set, model, and the value of the setting that the table varies, None where it varies none."""

MAIN: PaperNumbers = {
    ("NCI1", "gradformer", None): 86.01,
    ("NCI1", "graphgps", None): 84.21,
    ("PROTEINS", "gradformer", None): 77.50,
    ("MUTAG", "gradformer", None): 88.00,
}
DEPTH: PaperNumbers = {
    ("NCI1", "gradformer", 12): 84.31,
    ("NCI1", "gradformer", 24): 84.25,
}
LOW_RESOURCE: PaperNumbers = {
    ("NCI1", "gradformer", 0.05): 71.20,
    ("NCI1", "gradformer", 0.1): 76.38,
    ("NCI1", "graphgps", 0.05): 69.54,
}
