"""Compiled kernels and their autograd functions: attention, message passing, normalisation; no modules."""
