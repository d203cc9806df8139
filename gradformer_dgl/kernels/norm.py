# mypy: allow-untyped-defs
"""Passes over the rows of single-precision matrices that do at once what else takes several.

Batch norm is that of a sum of two matrices, which is made anew in each pass. Loops over channels do one
thing each, for the compiler to turn them into vector instructions. Sums over some rows are of single
precision, those over all of them of double precision.
"""

import math

import numpy as np

from gradformer_dgl.jit.compile import jit

FEW = 32
"""Rows whose sum is of single precision."""

MEAN, INVERSE, SCALE, SHIFT = 0, 1, 2, 3
"""Rows of the statistics: mean and one over the deviation, the latter times the weight, and the bias."""


@jit
def rectify(x, bias):
    """Set x to relu(x + bias)."""
    for row in range(len(x)):
        y = x[row]
        for c in range(len(bias)):
            # Not the maximum with 0, which would hide NaN.
            y[c] = np.float32(0) if y[c] + bias[c] < 0 else y[c] + bias[c]


@jit
def rectify_backward(grad, rectified, grad_bias):
    """Set grad to the gradient of x, and grad_bias to that of the bias, of what ``rectify`` made of them."""
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
def _measure(x, branch, eps, stats, running_mean, running_var, share):
    """Set the mean and the inverse deviation of the columns of x + branch; running statistics follow."""
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
        running_mean[c] += share * (total[c] / rows - running_mean[c])
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
        running_var[c] += share * (total[c] / (rows - 1) - running_var[c])


@jit(fastmath=("contract",))
def normalize(x, branch, stats, weight, bias, running_mean, running_var, eps, share, out, adds):
    """Set out to, or add to it, the batch norm of x + branch, and the statistics that it was made with.

    The statistics are those of x + branch, of which the running ones take their share; or the running ones
    themselves where the share is negative.
    """
    channels = x.shape[1]
    if share >= 0:
        _measure(x, branch, eps, stats, running_mean, running_var, share)
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
    """Compute the gradients of ``normalize`` in training; that of x is set, or added to."""
    rows, channels = x.shape
    mean, inverse, scale = stats[MEAN], stats[INVERSE], stats[SCALE]
    some, some_along = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    total, along = np.zeros(channels), np.zeros(channels)
    for start in range(0, rows, FEW):
        for row in range(start, min(start + FEW, rows)):
            a, b, g = x[row], branch[row], grad[row]
            for c in range(channels):
                some[c] += g[c]
                some_along[c] += g[c] * (a[c] + b[c] - mean[c])
        _add_up(some, total)
        _add_up(some_along, along)
    # What the mean takes from the gradient, and what the variance takes, for one of deviation.
    of_mean, of_variance = some, some_along
    for c in range(channels):
        grad_bias[c], grad_weight[c] = total[c], along[c] * inverse[c]
        of_mean[c], of_variance[c] = total[c] / rows, along[c] * inverse[c] * inverse[c] / rows
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
