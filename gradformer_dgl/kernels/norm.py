# mypy: allow-untyped-defs
"""Norm kernels: batch norm of the sum of two matrices, and ReLU with a bias, in compiled loops on the CPU.

The sum is recomputed in each pass, so that no matrix is stored for it. A loop over channels does one thing,
for LLVM to vectorise it. Sums over ``FEW`` rows are in single precision, those over all rows in double
precision.
"""

import math

import numpy as np

from gradformer_dgl.jit.compile import jit

FEW = 32
"""Rows that are summed in single precision."""

MEAN, INVERSE, SCALE, SHIFT = 0, 1, 2, 3
"""Rows of the statistics (4, channels): mean, 1 / deviation, weight / deviation, and bias."""


@jit
def rectify(x, bias):
    """Set x (rows, channels) to relu(x + bias), bias (channels,)."""
    for row in range(len(x)):
        y = x[row]
        for c in range(len(bias)):
            # Not the maximum with 0, which would hide NaN.
            y[c] = np.float32(0) if y[c] + bias[c] < 0 else y[c] + bias[c]


@jit
def rectify_backward(grad, rectified, grad_bias):
    """Set grad (rows, channels) to the gradient of x, and grad_bias (channels,) to that of the bias."""
    channels = len(grad_bias)
    some, total = np.zeros(channels, np.float32), np.zeros(channels)
    for start in range(0, len(grad), FEW):
        for row in range(start, min(start + FEW, len(grad))):
            g, y = grad[row], rectified[row]
            for c in range(channels):
                g[c] = np.float32(0) if y[c] <= 0 else g[c]
                some[c] += g[c]
        _add_up(some, total)
    for c in range(channels):
        grad_bias[c] = total[c]


@jit
def _add_up(some, total):
    for c in range(len(total)):
        total[c] += some[c]
        some[c] = 0


@jit(fastmath=("contract",))
def _measure(x, branch, eps, stats, running_mean, running_var, momentum):
    """Set mean and 1 / deviation of the columns of x + branch (rows, channels); update running statistics."""
    rows, channels = x.shape
    some, total = np.zeros(channels, np.float32), np.zeros(channels)
    mean = stats[MEAN]
    for start in range(0, rows, FEW):
        for row in range(start, min(start + FEW, rows)):
            a, b = x[row], branch[row]
            for c in range(channels):
                some[c] += a[c] + b[c]
        _add_up(some, total)
    for c in range(channels):
        mean[c] = total[c] / rows
        running_mean[c] += momentum * (total[c] / rows - running_mean[c])
        total[c] = 0
    for start in range(0, rows, FEW):
        for row in range(start, min(start + FEW, rows)):
            a, b = x[row], branch[row]
            for c in range(channels):
                y = a[c] + b[c] - mean[c]
                some[c] += y * y
        _add_up(some, total)
    for c in range(channels):
        stats[INVERSE, c] = 1 / math.sqrt(total[c] / rows + eps)
        running_var[c] += momentum * (total[c] / (rows - 1) - running_var[c])


@jit(fastmath=("contract",))
def normalize(x, branch, stats, weight, bias, running_mean, running_var, eps, momentum, out, adds):
    """Set out to the batch norm of x + branch (rows, channels), or add it, and set stats (4, channels).

    A negative ``momentum`` takes the running statistics; else those of x + branch, which update the running
    ones with this momentum.
    """
    channels = x.shape[1]
    if momentum >= 0:
        _measure(x, branch, eps, stats, running_mean, running_var, momentum)
    else:
        for c in range(channels):
            stats[MEAN, c] = running_mean[c]
            stats[INVERSE, c] = 1 / math.sqrt(running_var[c] + eps)
    for c in range(channels):
        stats[SCALE, c], stats[SHIFT, c] = stats[INVERSE, c] * weight[c], bias[c]
    mean, scale, shift = stats[MEAN], stats[SCALE], stats[SHIFT]
    for row in range(len(x)):
        a, b, y = x[row], branch[row], out[row]
        if adds:
            for c in range(channels):
                y[c] += (a[c] + b[c] - mean[c]) * scale[c] + shift[c]
        else:
            for c in range(channels):
                y[c] = (a[c] + b[c] - mean[c]) * scale[c] + shift[c]


@jit(fastmath=("contract",))
def normalize_backward(x, branch, stats, grad, grad_x, grad_branch, grad_weight, grad_bias, adds):
    """Compute the gradients of ``normalize`` in training; that of x (rows, channels) is set, or added."""
    rows, channels = x.shape
    mean, inverse, scale = stats[MEAN], stats[INVERSE], stats[SCALE]
    some, some_dot = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    total, dot = np.zeros(channels), np.zeros(channels)
    for start in range(0, rows, FEW):
        for row in range(start, min(start + FEW, rows)):
            a, b, g = x[row], branch[row], grad[row]
            for c in range(channels):
                some[c] += g[c]
                some_dot[c] += g[c] * (a[c] + b[c] - mean[c])
        _add_up(some, total)
        _add_up(some_dot, dot)
    # The parts of the gradient through the mean, and through the variance per unit of deviation.
    of_mean, of_variance = some, some_dot
    for c in range(channels):
        grad_bias[c], grad_weight[c] = total[c], dot[c] * inverse[c]
        of_mean[c], of_variance[c] = total[c] / rows, dot[c] * inverse[c] * inverse[c] / rows
    for row in range(rows):
        a, b, g, to_x, to_branch = x[row], branch[row], grad[row], grad_x[row], grad_branch[row]
        for c in range(channels):
            to_branch[c] = (g[c] - of_mean[c] - (a[c] + b[c] - mean[c]) * of_variance[c]) * scale[c]
        if adds:
            for c in range(channels):
                to_x[c] += to_branch[c]
        else:
            for c in range(channels):
                to_x[c] = to_branch[c]
