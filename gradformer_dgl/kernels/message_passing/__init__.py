"""Sums over the edges of a graph, with gradients."""
