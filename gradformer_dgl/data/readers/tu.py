"""Data sets of the TU Dortmund collection: text files in a folder or zip, straight to packed tensors.

Format: Morris et al., "TUDataset: A collection of benchmark datasets for learning with graphs" (2020),
https://chrsmrrs.github.io/datasets/docs/format/.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from gradformer_dgl.data.dataset import FeatureSource, GraphDataset
from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.data.readers.download import default_folder
from gradformer_dgl.data.readers.label_encoding import MAX_DEGREE
from gradformer_dgl.data.readers.tu_features import attributes_used, edge_features, node_features, read_rows
from gradformer_dgl.data.readers.tu_files import download_raw_files, find_raw_files, single_dataset
from gradformer_dgl.data.readers.tu_graphs import TuLayout, read_layout
from gradformer_dgl.data.readers.tu_tables import RawFolder


def read_tu(
    name: str,
    data_root: str | Path | None = None,
    *,
    tu_features: str | None = None,
    use_node_attributes: bool | None = None,
    use_edge_attributes: bool | None = None,
    max_degree: int = MAX_DEGREE,
) -> GraphDataset:
    """Read a TU data set, downloading it if it is not there.

    Node labels become one column each (one-hot). Node attributes are real numbers. Where nodes have
    neither, the degree takes the place of a label (self loops count once). Edge labels become
    categories, or columns (one-hot) where attributes stand beside them. Parallel edges are removed, the
    first one stays; self loops and directions are kept as listed. An empty ``NAME_A.txt`` lists no edges.

    Parameters
    ----------
    name : str
        For example ``"PROTEINS"``, with upper and lower case as in the file names.
    data_root : str or Path, optional
        The folder with ``NAME/NAME.zip``, ``NAME.zip``, or ``NAME_A.txt`` and its siblings in ``NAME/``,
        ``NAME/NAME/``, ``NAME/raw/`` or DGL's ``NAME_<hash>/NAME/``. What is not there is downloaded to
        ``NAME/NAME.zip``, from ``GRADFORMER_DGL_TU_URL`` if that names a mirror, with ``{name}`` in place of
        the name. Default: ``~/.cache/gradformer_dgl``.
    tu_features : {"labels", "all"}, optional
        ``"all"`` puts the attributes that there are, of nodes and edges, in front of the labels' columns.
        Default: as the next two say.
    use_node_attributes, use_edge_attributes : bool, optional
        Put the attributes in front of the labels' columns. Default: only where there are no labels.
        (So PROTEINS has its 3 node labels, and not the attribute, as in the published benchmarks.)
    max_degree : int
        Higher degrees are counted as this one.

    Returns
    -------
    GraphDataset
        Task ``"multiclass"``, the classes numbered in the order of their values; or ``"regression"`` on
        the graph attributes where there are no graph labels.

    Raises
    ------
    DataError
        If a file is missing or broken; the message names the file and line.
    """
    root = default_folder() if data_root is None else Path(data_root)
    folder = find_raw_files(name, root) or download_raw_files(name, root)
    layout = read_layout(folder, name)
    if tu_features is not None:
        use_node_attributes, use_edge_attributes = attributes_used(folder, name, tu_features)
    nodes = node_features(folder, name, layout, use_node_attributes, max_degree)
    edges = edge_features(folder, name, layout, use_edge_attributes)
    task, labels, names = _read_targets(folder, name, layout)
    out_size = len(names) if task == "multiclass" else labels.shape[1]
    graphs = layout.packed(nodes.columns, edges.columns)
    graphs.labels = labels
    return GraphDataset(
        name=name,
        graphs=graphs,
        task=task,
        level="graph",
        out_size=out_size,
        node_encoder="linear",
        node_size=nodes.size,
        edge_encoder=edges.encoder,
        edge_size=edges.size,
        output_names=names,
        source=FeatureSource(
            degrees=nodes.encoder is None, node_labels=nodes.values, edge_labels=edges.values
        ),
    )


def read_tu_graphs(
    path: Path,
    source: FeatureSource,
    *,
    use_node_attributes: bool = False,
    use_edge_attributes: bool = False,
    with_edges: bool = True,
) -> PackedGraphs:
    """Read the graphs of a folder or zip in the TU format with the columns of another data set.

    ``source`` is that of the other data set; columns of degrees are left to the caller.
    """
    folder, name = single_dataset(path)
    layout = read_layout(folder, name)
    nodes = node_features(folder, name, layout, use_node_attributes, MAX_DEGREE, source.node_labels)
    if not with_edges:
        return layout.packed(nodes.columns, None)
    edges = edge_features(folder, name, layout, use_edge_attributes, source.edge_labels)
    return layout.packed(nodes.columns, edges.columns)


def _read_targets(
    folder: RawFolder, name: str, layout: TuLayout
) -> tuple[str, Shaped[Tensor, "graphs *columns"], tuple[str, ...]]:
    """Return task, labels and the names of classes."""
    graphs = len(layout.node_counts)
    attributes = folder.get(f"{name}_graph_attributes.txt")
    if attributes is not None and folder.get(f"{name}_graph_labels.txt") is None:
        values = read_rows(attributes.floats(), attributes, None, graphs, "graphs")
        return "regression", torch.from_numpy(values), ()
    file = folder[f"{name}_graph_labels.txt"]
    labels = read_rows(file.integers(columns=1)[:, 0], file, None, graphs, "graphs")
    classes, codes = np.unique(labels, return_inverse=True)
    return "multiclass", torch.from_numpy(codes), tuple(str(value) for value in classes.tolist())
