"""Dense decay attention with a given dropout mask, the oracle of backends that draw one."""

import torch


def masked_attention(query, key, value, distances, table, mask):
    """Return attention (nodes, heads, head_dim) whose weights are multiplied by mask (nodes, heads, size)."""
    outputs, start = [], 0
    for graph, size in enumerate(distances.sizes):
        q, k, v = (part[start : start + size].transpose(0, 1) for part in (query, key, value))
        column = distances[graph].long()
        column = column.masked_fill(column == distances.unreachable, table.shape[1] - 1)
        weights = torch.softmax(q @ k.transpose(1, 2) / query.shape[2] ** 0.5 * table[:, column], -1)
        outputs.append((weights * mask[start : start + size, :, :size].transpose(0, 1) @ v).transpose(0, 1))
        start += size
    return torch.cat(outputs)
