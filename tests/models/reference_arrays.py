"""Reads the reference arrays of a layer or model into modules of this package."""

import dgl
import numpy as np
import torch
from torch import nn

from gradformer_dgl import PairDistances

Arrays = dict[str, np.ndarray]

# Reference name of a layer's parameter or buffer -> ours; the rest of the name is equal.
LAYER_NAMES = {
    "conv.nn.": "message_passing.mlp.",
    "conv.A.": "message_passing.self_weight.",
    "conv.B.": "message_passing.message_weight.",
    "conv.C.": "message_passing.gate_edge.",
    "conv.D.": "message_passing.gate_target.",
    "conv.E.": "message_passing.gate_source.",
    "conv.bn_node_x.": "message_passing.norm.",
    "conv.mlp_r_ij.": "message_passing.encoding_gate.",
    "attn.linears.3.": "attention.out.",
    "mlp.": "mlp.",
    "norm1.module.": "norm_local.",
    "norm2.module.": "norm_global.",
    "norm3.module.": "norm_out.",
}
MODEL_NAMES = {
    "node_add.": "node_encoder.linear.",
    "node_lin.": "node_encoder.linear.",
    "node_emb.": "node_encoder.embeddings.0.",
    "edge_emb.": "edge_encoder.embeddings.0.",
    "pe_add.": "structural_encoder.linear.",
    "pe_lin.": "structural_encoder.linear.",
    "pe_norm.": "structural_encoder.norm.",
    "lin.": "head.",
    "mlp.": "head.",
}


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def below(arrays: Arrays, prefix: str) -> Arrays:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def layer_state(arrays: Arrays) -> dict[str, torch.Tensor]:
    """Translate the reference's names of a layer; query, key and value become one projection."""
    state = {}
    for name, array in arrays.items():
        for theirs, ours in LAYER_NAMES.items():
            if name.startswith(theirs):
                state[ours + name[len(theirs) :]] = tensor(array)
    for part in ("weight", "bias"):
        if f"attn.linears.0.{part}" in arrays:
            projections = [arrays[f"attn.linears.{i}.{part}"] for i in range(3)]
            state[f"attention.qkv.{part}"] = tensor(np.concatenate(projections))
    return state


def model_state(arrays: Arrays) -> dict[str, torch.Tensor]:
    state = {}
    for layer in range(100):
        ours = layer_state(below(arrays, f"convs.{layer}."))
        state |= {f"layers.{layer}.{name}": value for name, value in ours.items()}
    for name, array in arrays.items():
        for theirs, ours in MODEL_NAMES.items():
            if name.startswith(theirs):
                state[ours + name[len(theirs) :]] = tensor(array)
    if "hop" in arrays:
        state["decay.tau"] = tensor(arrays["hop"].reshape(-1))
    return state


def load(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load all of the state but what is not in the reference: counters of batches and thresholds."""
    report = module.load_state_dict(state, strict=False)
    assert not report.unexpected_keys
    left = {name.rsplit(".", 1)[1] for name in report.missing_keys}
    assert left <= {"num_batches_tracked", "tau"}


def graph_of(golden: Arrays) -> dgl.DGLGraph:
    counts = tensor(golden["graphs/num_nodes"])
    graph = dgl.graph((tensor(golden["batch/src"]), tensor(golden["batch/dst"])), num_nodes=int(counts.sum()))
    graph.set_batch_num_nodes(counts)
    graph.set_batch_num_edges(tensor(golden["graphs/num_edges"]))
    return graph


def distances_of(golden: Arrays) -> PairDistances:
    padded = tensor(golden["batch/sph"])
    return PairDistances.from_padded(
        padded.masked_fill(padded == 510, -1), tensor(golden["graphs/num_nodes"])
    )


def assert_equal(ours: torch.Tensor, theirs: np.ndarray, rtol: float = 1e-9, atol: float = 1e-10) -> None:
    torch.testing.assert_close(ours.detach(), tensor(theirs).reshape(ours.shape), rtol=rtol, atol=atol)
