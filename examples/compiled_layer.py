"""A layer as one graph of torch.compile, for batches of all sizes."""

from gradformer_dgl import GradformerLayer, PairDistances
from gradformer_dgl.graphs.edge_list import EdgeList
from gradformer_dgl.preprocess import shortest_path_distances

import dgl
import torch

torch.manual_seed(0)
layer = GradformerLayer(feat_size=64, num_heads=4, message_passing="gin")
# Leave the backend out for the compiler that makes it faster, in some twenty seconds.
compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")

for sizes in ([6, 9], [7, 7], [12, 5]):
    graphs = [dgl.to_bidirected(dgl.rand_graph(size, 2 * size)) for size in sizes]
    batch = dgl.batch(graphs)
    hops = torch.cat([shortest_path_distances(graph).flatten() for graph in graphs])
    distances = PairDistances(hops, batch.batch_num_nodes())
    # The compiler cannot look into a DGLGraph.
    src, dst = batch.edges()
    edges = EdgeList(src, dst, batch.num_nodes(), batch.batch_num_nodes(), batch.batch_num_edges())
    x = torch.randn(batch.num_nodes(), 64)
    difference = (compiled(edges, x, distances) - layer(batch, x, distances)).abs().max()
    print(f"{sizes[0]} and {sizes[1]} nodes: the largest difference is {difference:.0e}")
