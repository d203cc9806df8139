"""Registries of metrics and of splits; their code is imported on first use.

A metric is a class derived from :class:`~gradformer_dgl.training.metrics.Metric`. A split is a function of a
data set and a seed that returns the indices of ``"train"``, ``"val"`` and ``"test"``. ``module:name`` names
one of a user's own.
"""

from gradformer_dgl.support.registry import Option, Part, Registry

_METRICS, _SPLITS = "gradformer_dgl.training.metrics", "gradformer_dgl.training.splits"

METRICS = Registry(
    "metric",
    [
        Part("auto", "", "the usual one of the task: accuracy, roc_auc or mae"),
        Part("accuracy", f"{_METRICS}:Accuracy", "fraction of the items in the right class"),
        Part("class_averaged_accuracy", f"{_METRICS}:ClassAveragedAccuracy", "balanced accuracy"),
        Part("macro_f1", f"{_METRICS}:MacroF1", "F1 score averaged over the classes"),
        Part("roc_auc", f"{_METRICS}:ROCAUC", "area under the ROC curve"),
        Part("average_precision", f"{_METRICS}:AveragePrecision", "area under the precision-recall curve"),
        Part("mae", f"{_METRICS}:MAE", "mean absolute error"),
        Part("rmse", f"{_METRICS}:RMSE", "root mean squared error"),
    ],
)
"""Metrics by name."""

_FRACTIONS = tuple(
    Option(
        f"{part}_fraction", 0.1, f"fraction of the graphs for {use} where the split is random", 0.001, 0.998
    )
    for part, use in (("val", "validation"), ("test", "testing"))
)
SPLITS = Registry(
    "split",
    [
        Part("auto", f"{_SPLITS}:auto_split", "the data's own where it has one, else random", _FRACTIONS),
        Part("given", f"{_SPLITS}:given_split", "the data's own"),
        Part("random", f"{_SPLITS}:seeded_split", "drawn by the seed", _FRACTIONS),
        Part(
            "folds",
            f"{_SPLITS}:seeded_fold",
            "stratified cross-validation: seed s tests fold s, as many seeds as folds test every graph",
            (Option("folds", 10, "folds of a cross-validation", 3, 10**6),),
        ),
    ],
)
"""Splits by name."""
