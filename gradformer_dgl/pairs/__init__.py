"""Pairs of nodes: their distances, all of them or those within a cut-off, and the edges of a batch."""
