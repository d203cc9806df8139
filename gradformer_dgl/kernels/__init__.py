"""Compiled kernels and their autograd functions: attention, message passing, norm; no modules."""
