"""The HDF5 cache of distances and node encodings: computed once, opened by any run and any model."""

from gradformer_dgl.cache.reader import DistanceCache

__all__ = ["DistanceCache"]
