"""Distances of pairs of nodes: of all pairs, or of those within a cut-off."""
