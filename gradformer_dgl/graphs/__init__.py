"""Graphs as arrays: the structure of many graphs, the edges of a batch, fingerprints of both."""
