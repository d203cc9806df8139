"""Return probabilities of random walks, sparse and in blocks of columns."""

import numpy as np

from gradformer_dgl.compiled import compiled
from gradformer_dgl.preprocess.adjacency_kernels import MATRIX_WORDS, adjacency
from gradformer_dgl.preprocess.bits_kernels import WORD

# Columns of a power of the transition matrix that are worked on at a time: memory grows with nodes only.
BLOCK = 64


@compiled
def advance(num_nodes, offsets, neighbors, weights, width, power, result):
    """One sparse product: row v of ``result`` is the weighted sum of the rows of v's neighbours."""
    for node in range(num_nodes):
        for column in range(width):
            result[node, column] = 0.0
        for edge in range(offsets[node], offsets[node + 1]):
            neighbor = np.uint64(neighbors[edge])
            weight = weights[edge]
            for column in range(width):
                result[node, column] += weight * power[neighbor, column]


@compiled
def accumulate(num_nodes, width, left, right, column, result):
    """Add the rows' inner products to one column of the result."""
    for node in range(num_nodes):
        total = 0.0
        for place in range(width):
            total += left[node, place] * right[node, place]
        result[node, column] += total


@compiled
def transpose(num_nodes, offsets, neighbors, weights, to_offsets, to_neighbors, to_weights):
    """The same sparse matrix by columns instead of rows."""
    for node in range(num_nodes + 1):
        to_offsets[node] = 0
    for edge in range(offsets[num_nodes]):
        to_offsets[neighbors[edge] + 1] += 1
    for node in range(num_nodes):
        to_offsets[node + 1] += to_offsets[node]
    for node in range(num_nodes):
        for edge in range(offsets[node], offsets[node + 1]):
            neighbor = neighbors[edge]
            place = to_offsets[neighbor]
            to_neighbors[place] = node
            to_weights[place] = weights[edge]
            to_offsets[neighbor] += 1
    for node in range(num_nodes, 0, -1):
        to_offsets[node] = to_offsets[node - 1]
    to_offsets[0] = 0


@compiled
def return_probabilities_of_one(
    num_nodes,
    columns,
    symmetric,
    offsets,
    neighbors,
    weights,
    back_offsets,
    back_neighbors,
    back_weights,
    powers,
    result,
):
    """Fill ``result[:, c]`` with the diagonal of the matrix to the power c + 1.

    diag(P^(a + b)) is the sum over columns of P^a times the transpose of P^b, entry by entry: powers up to half
    the number of columns are enough, and blocks of columns add up.
    """
    for node in range(num_nodes):
        for column in range(columns):
            result[node, column] = 0.0
    for base in range(0, num_nodes, BLOCK):
        width = min(BLOCK, num_nodes - base)
        for node in range(num_nodes):
            for column in range(width):
                powers[0, node, column] = 0.0
        for column in range(width):
            powers[0, base + column, column] = 1.0
        # Slots 0 and 1 hold powers of the matrix, slots 2 and 3 those of its transpose.
        if not symmetric:
            powers[2, :num_nodes] = powers[0, :num_nodes]
        now = 0
        other = 0 if symmetric else 2
        for exponent in range(1, columns // 2 + 2):
            odd = 2 * exponent - 1
            if odd > columns:
                break
            after = 1 - now
            advance(num_nodes, offsets, neighbors, weights, width, powers[now], powers[after])
            accumulate(num_nodes, width, powers[after], powers[other + now], odd - 1, result)
            if not symmetric:
                advance(
                    num_nodes,
                    back_offsets,
                    back_neighbors,
                    back_weights,
                    width,
                    powers[other + now],
                    powers[other + after],
                )
            if odd + 1 <= columns:
                accumulate(num_nodes, width, powers[after], powers[other + after], odd, result)
            now = after


@compiled
def return_probabilities_of_all(node_counts, edge_counts, src, dst, directed, columns, out):
    """Return probabilities of the nodes of many graphs into the rows of ``out``."""
    most_nodes = 0
    most_edges = 0
    for graph in range(len(node_counts)):
        most_nodes = max(most_nodes, node_counts[graph])
        most_edges = max(most_edges, edge_counts[graph])
    offsets = np.empty(most_nodes + 1, np.int64)
    cursor = np.empty(most_nodes + 1, np.int64)
    tails = np.empty(2 * most_edges, np.int32)
    heads = np.empty(2 * most_edges, np.int32)
    words = np.empty(MATRIX_WORDS, np.uint64)
    weights = np.empty(2 * most_edges)
    degrees = np.empty(most_nodes, np.int64)
    back_offsets = np.empty(most_nodes + 1, np.int64)
    back_neighbors = np.empty(2 * most_edges if directed else 0, np.int32)
    back_weights = np.empty(2 * most_edges if directed else 0)
    powers = np.empty((4 if directed else 2, most_nodes, min(BLOCK, most_nodes)))
    result = np.empty((most_nodes, columns))

    first = 0
    row = 0
    for graph in range(len(node_counts)):
        num_nodes = node_counts[graph]
        end = first + edge_counts[graph]
        adjacency(src[first:end], dst[first:end], directed, num_nodes, offsets, tails, heads, cursor, words)
        first = end
        degrees[:num_nodes] = 0
        for edge in range(offsets[num_nodes]):
            degrees[tails[edge]] += 1
        for head in range(num_nodes):
            for edge in range(offsets[head], offsets[head + 1]):
                tail = tails[edge]
                if directed:
                    weights[edge] = 1.0 / degrees[tail]
                else:
                    # D^-1/2 A D^-1/2 is symmetric and its powers have the same diagonals.
                    weights[edge] = 1.0 / np.sqrt(float(degrees[tail] * degrees[head]))
        if directed:
            transpose(num_nodes, offsets, tails, weights, back_offsets, back_neighbors, back_weights)
        return_probabilities_of_one(
            num_nodes,
            columns,
            not directed,
            offsets,
            tails,
            weights,
            back_offsets,
            back_neighbors,
            back_weights,
            powers,
            result,
        )
        for node in range(num_nodes):
            for column in range(columns):
                out[row + node, column] = result[node, column]
        row += num_nodes
