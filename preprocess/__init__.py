"""Preprocessing: shortest-path distances and node encodings of many graphs into one cache file."""

from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.preprocess.pipeline import preprocess_graphs
from gradformer_dgl.preprocess.shortest_paths import shortest_path_distances

__all__ = ["GraphStructures", "preprocess_graphs", "shortest_path_distances"]
