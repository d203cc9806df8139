"""Compiling with numba: one decorator, SIMD vectors, and arithmetic that compiles to them."""
