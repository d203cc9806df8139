# mypy: ignore-errors
"""Return probabilities of random walks, from sparse powers of the transition matrix in blocks of columns."""

import numpy as np

from gradformer_dgl.graphs.adjacency_kernels import adjacency, adjacency_buffers
from gradformer_dgl.jit.compile import jit

# Columns of a power of the transition matrix that are worked on at a time: few enough for registers, and for
# memory that grows with nodes only.
LANES = 8


@jit
def advance(num_nodes, offsets, neighbors, weights, power, result):
    """Multiply a block by the sparse matrix: row v is the weighted sum of the rows of v's neighbours.

    Written out lane by lane: sums stay in registers until a node's neighbours are through, and constant
    indices need no test for negative ones.
    """
    for node in range(num_nodes):
        sum0 = 0.0
        sum1 = 0.0
        sum2 = 0.0
        sum3 = 0.0
        sum4 = 0.0
        sum5 = 0.0
        sum6 = 0.0
        sum7 = 0.0
        for edge in range(offsets[node], offsets[node + 1]):
            neighbor = np.uint64(neighbors[edge])
            weight = weights[edge]
            sum0 += weight * power[neighbor, 0]
            sum1 += weight * power[neighbor, 1]
            sum2 += weight * power[neighbor, 2]
            sum3 += weight * power[neighbor, 3]
            sum4 += weight * power[neighbor, 4]
            sum5 += weight * power[neighbor, 5]
            sum6 += weight * power[neighbor, 6]
            sum7 += weight * power[neighbor, 7]
        result[node, 0] = sum0
        result[node, 1] = sum1
        result[node, 2] = sum2
        result[node, 3] = sum3
        result[node, 4] = sum4
        result[node, 5] = sum5
        result[node, 6] = sum6
        result[node, 7] = sum7


@jit
def accumulate(num_nodes, left, right, result):
    """Add the inner product of the rows of two blocks of powers to each node's result."""
    for node in range(num_nodes):
        product0 = left[node, 0] * right[node, 0]
        product1 = left[node, 1] * right[node, 1]
        product2 = left[node, 2] * right[node, 2]
        product3 = left[node, 3] * right[node, 3]
        product4 = left[node, 4] * right[node, 4]
        product5 = left[node, 5] * right[node, 5]
        product6 = left[node, 6] * right[node, 6]
        product7 = left[node, 7] * right[node, 7]
        low = (product0 + product4) + (product2 + product6)
        high = (product1 + product5) + (product3 + product7)
        result[node] += low + high


@jit
def transpose(num_nodes, offsets, neighbors, weights, to_offsets, to_neighbors, to_weights):
    """Store the same sparse matrix by columns instead of rows."""
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


@jit
def return_probabilities_of_one(num_nodes, columns, symmetric, matrix, transposed, powers, result):
    """Fill ``result[c]`` with the diagonal of the matrix to the power c + 1.

    diag(P^(a + b)) is the sum over columns of P^a times the transpose of P^b, entry by entry: powers up to
    half the number of columns are enough, and blocks of columns add up. A matrix is given as its offsets,
    neighbors and weights.
    """
    offsets, neighbors, weights = matrix
    back_offsets, back_neighbors, back_weights = transposed
    for column in range(columns):
        for node in range(num_nodes):
            result[column, node] = 0.0
    for base in range(0, num_nodes, LANES):
        for node in range(num_nodes):
            for lane in range(LANES):
                powers[0, node, lane] = 0.0
        for lane in range(min(LANES, num_nodes - base)):
            powers[0, base + lane, lane] = 1.0
        # Slots 0 and 1 hold powers of the matrix, slots 2 and 3 those of its transpose.
        if not symmetric:
            powers[2, :num_nodes] = powers[0, :num_nodes]
        now = 0
        other = 0 if symmetric else 2
        for odd in range(1, columns + 1, 2):
            after = 1 - now
            advance(num_nodes, offsets, neighbors, weights, powers[now], powers[after])
            accumulate(num_nodes, powers[after], powers[other + now], result[odd - 1])
            if odd < columns:
                if not symmetric:
                    before, block = powers[other + now], powers[other + after]
                    advance(num_nodes, back_offsets, back_neighbors, back_weights, before, block)
                accumulate(num_nodes, powers[after], powers[other + after], result[odd])
            now = after


@jit
def return_probabilities_of_all(node_counts, edge_counts, src, dst, directed, columns, out):
    """Write the return probabilities of the nodes of many graphs to the rows of ``out``."""
    buffers = adjacency_buffers(node_counts, edge_counts)
    offsets, tails = buffers[0], buffers[1]
    most_nodes = len(offsets) - 1
    weights = np.empty(len(tails))
    degrees = np.empty(most_nodes, np.int64)
    back_offsets = np.empty(most_nodes + 1, np.int64)
    back_neighbors = np.empty(len(tails) if directed else 0, np.int32)
    back_weights = np.empty(len(tails) if directed else 0)
    matrix, transposed = (offsets, tails, weights), (back_offsets, back_neighbors, back_weights)
    powers = np.empty((4 if directed else 2, most_nodes, LANES))
    result = np.empty((columns, most_nodes))

    first = 0
    row = 0
    for graph in range(len(node_counts)):
        num_nodes = node_counts[graph]
        end = first + edge_counts[graph]
        adjacency(src[first:end], dst[first:end], directed, num_nodes, buffers)
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
        return_probabilities_of_one(num_nodes, columns, not directed, matrix, transposed, powers, result)
        for node in range(num_nodes):
            for column in range(columns):
                out[row + node, column] = result[column, node]
        row += num_nodes
