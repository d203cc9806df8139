"""Registry of data set readers: one part for each family of data sets.

A reader is a function ``read(name, data_root=None, **options)`` that returns a
:class:`~gradformer_dgl.data.dataset.GraphDataset` of this name. ``data_root`` is the folder of the raw files,
by default ``~/.cache/gradformer_dgl``; what is generated needs none. Files that are missing and cannot be
downloaded, or are broken, raise a :class:`~gradformer_dgl.support.errors.DataError`.

A new family is one file in this folder and one part here. A reader of a user's own needs no part:
``--reader module:function``, see :func:`~gradformer_dgl.data.readers.python_function.read_with_plugin`.
"""

from dataclasses import dataclass
from typing import Any

from gradformer_dgl.data.readers.tu_names import TU_NAMES
from gradformer_dgl.support.registry import Option, Part, Registry

TASKS = ("regression", "binary", "multiclass", "multilabel")


@dataclass(frozen=True)
class DatasetEntry:
    """One data set of the catalogue: name, a few words about the data, number of graphs, task with metric."""

    name: str
    description: str
    graphs: int
    task: str


def _reader(
    name: str, code: str, help: str, *entries: DatasetEntry, options: tuple[Option, ...] = (), **traits: Any
) -> Part:
    """Return a reader of the data sets in ``entries``, with further ``names``, ``pattern`` and ``aliases``.

    ``pattern`` is a regular expression without regard to case; ``preset`` is for data sets without one.
    """
    if entries:
        traits["datasets"] = entries
    return Part(name, f"gradformer_dgl.data.readers.{code}", help, options, traits)


_TWO = "2 classes, accuracy"
_NODES = "{} classes of nodes, accuracy".format
_TASK = Option(
    "task",
    "",
    "task to train on [default: by the labels: fractions are regression; 0 and 1, or true and false, of "
    "a CSV file binary, in several columns multilabel; its words, and single integers of a Python function, "
    "multiclass]",
    choices=TASKS,
)
_IDENTIFIERS = r"[^\W\d]\w*(\.[^\W\d]\w*)*"

READERS = Registry(
    "reader",
    [
        _reader(
            "tu",
            "tu:read_tu",
            "a folder or zip in the format of the TU Dortmund collection",
            DatasetEntry("NCI1", "compounds, active against lung cancer cells", 4110, _TWO),
            DatasetEntry("PROTEINS", "proteins as graphs of secondary structures", 1113, _TWO),
            DatasetEntry("MUTAG", "nitroaromatic compounds, mutagenic or not", 188, _TWO),
            DatasetEntry("IMDB-BINARY", "ego networks of actors, by genre", 1000, _TWO),
            DatasetEntry("COLLAB", "ego networks of scientists, by field", 5000, "3 classes, accuracy"),
            options=(
                Option(
                    "tu_features",
                    "",
                    "features of a TU set: labels of nodes and edges, or all, their attributes too [default: "
                    "labels, and attributes where there are none]",
                    choices=("labels", "all"),
                ),
            ),
            names=TU_NAMES,
        ),
        _reader(
            "cluster",
            "cluster_pattern:read_cluster",
            "stochastic block models whose communities are to be found",
            DatasetEntry("CLUSTER", "communities from a marked node each (generated)", 12000, _NODES(6)),
        ),
        _reader(
            "pattern",
            "cluster_pattern:read_pattern",
            "stochastic block models that hide a pattern",
            DatasetEntry("PATTERN", "a pattern hidden in communities (generated)", 14000, _NODES(2)),
        ),
        _reader(
            "sbm-nodes",
            "sbm_nodes:read_sbm_nodes",
            "one stochastic block model of any size",
            DatasetEntry(
                "SBM-NODES",
                "one graph of communities, of any size: SBM-NODES-250000 (generated)",
                1,
                _NODES(10),
            ),
            pattern=r"SBM-NODES-\d{1,18}",
            preset="nodes",
        ),
        _reader(
            "citation",
            "citation:read_citation",
            "citation graphs with the split of Planetoid",
            DatasetEntry("Cora", "one graph of 2,708 papers", 1, _NODES(7)),
            DatasetEntry("Citeseer", "one graph of 3,327 papers", 1, _NODES(6)),
            DatasetEntry("Pubmed", "one graph of 19,717 papers", 1, _NODES(3)),
            preset="nodes",
        ),
        _reader(
            "ogbn-arxiv",
            "ogbn_arxiv:read_arxiv",
            "the citation graph of OGB",
            DatasetEntry(
                "ogbn-arxiv", "one graph of 169,343 papers that cite each other (OGB)", 1, _NODES(40)
            ),
            aliases={"arxiv": "ogbn-arxiv"},
            preset="nodes",
        ),
        _reader(
            "zinc",
            "zinc:read_zinc",
            "12,000 molecules of ZINC",
            DatasetEntry("ZINC", "molecules, penalised logP (12,000 of ZINC)", 12000, "regression, MAE"),
            aliases={"ZINC12k": "ZINC"},
        ),
        _reader(
            "ogbg-molhiv",
            "ogbg_molhiv:read_molhiv",
            "molecules of OGB",
            DatasetEntry("ogbg-molhiv", "molecules, active against HIV (OGB)", 41127, "2 classes, ROC-AUC"),
            aliases={"molhiv": "ogbg-molhiv"},
        ),
        _reader(
            "nci-tpsa",
            "nci_tpsa:read_nci_tpsa",
            "molecules that come with RDKit",
            DatasetEntry(
                "NCI-TPSA", "molecules that come with RDKit, polar surface area", 4991, "regression, MAE"
            ),
        ),
        _reader(
            "csv",
            "smiles_csv:read_smiles_csv",
            "a CSV file of molecules",
            options=(
                Option("smiles_column", "", "column with the molecules of a CSV file [default: smiles]"),
                Option(
                    "target_columns",
                    (),
                    "column of a CSV file to predict, may be repeated; an empty cell, nan, NA, None and "
                    "the like are missing labels",
                ),
                Option(
                    "split_column",
                    "",
                    "column of a CSV file that says train, val (valid, validation) or test [default: random]",
                ),
                _TASK,
                Option(
                    "sanitize",
                    True,
                    "leave out molecules of a CSV file that fail RDKit's checks, such as those of valences, "
                    "or read them without [default: left out]",
                ),
            ),
            pattern=r"(?s:.*)\.csv(\.gz)?",
            preset="molecules",
        ),
        _reader(
            "python",
            "python_function:read_python_function",
            "a Python function that returns graphs",
            options=(
                _TASK,
                *(
                    Option(
                        f"{part}_features",
                        "",
                        f"features in {part[0]}data of a Python function's graphs [default: feat, attr, ...]",
                    )
                    for part in ("node", "edge")
                ),
            ),
            pattern=f"{_IDENTIFIERS}:{_IDENTIFIERS}",
        ),
    ],
)
