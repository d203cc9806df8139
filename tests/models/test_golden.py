"""Equality with arrays of the published implementation, values and gradients."""

import pytest
import torch
from reference_arrays import (
    assert_equal,
    below,
    distances_of,
    graph_of,
    layer_state,
    load,
    model_state,
    tensor,
)
from torch import nn

from gradformer_dgl import (
    ExponentialDecay,
    Gradformer,
    GradformerLayer,
    GraphBatch,
    PairDistances,
    decay_attention,
)

KINDS = ("gin", "gine", "gatedgcn", "gatedgcn_pe")
MODELS = ("nci1", "zinc", "cluster")


@pytest.fixture(params=["float64", "float32"])
def precision(request):
    """The dtype to run in, with the tolerances that it allows."""
    if request.param == "float64":
        return torch.float64, {"rtol": 1e-9, "atol": 1e-10}
    return torch.float32, {"rtol": 0.0, "atol": 5e-5}


def test_mask(golden):
    for case in range(int(golden["mask/num_cases"])):
        arrays = below(golden, f"mask/{case}/")
        hop = tensor(arrays["hop"])
        decay = ExponentialDecay(
            len(hop), float(arrays["gamma"]), hop.tolist(), float(arrays["slope"])
        ).double()
        with torch.no_grad():
            decay.tau.copy_(hop)
        padded = tensor(golden["batch/sph"])
        mask = decay(padded.masked_fill(padded == 510, -1)).permute(0, 3, 1, 2)
        assert_equal(mask, arrays["out"])
        (mask * tensor(arrays["weight"])).sum().backward()
        assert_equal(decay.tau.grad, arrays["grad_hop"])
        single = decay.float()(padded.masked_fill(padded == 510, -1)).permute(0, 3, 1, 2)
        assert_equal(single, arrays["out_f32"], rtol=1e-5, atol=1e-6)


def test_attention(golden, precision):
    dtype, tolerance = precision
    arrays = below(golden, "attn/")
    real = ~tensor(arrays["pad"])
    parameters = {
        name: tensor(arrays[name]).to(dtype).requires_grad_()
        for name in arrays
        if name.endswith(("_weight", "_bias")) and not name.startswith("grad")
    }
    x = tensor(arrays["x"]).to(dtype).requires_grad_()
    # The mask of this group is arbitrary: every pair gets a distance and a column of its own.
    counts = real.sum(1)
    pairs = int(counts.square().sum())
    distances = PairDistances(torch.arange(pairs).to(torch.uint16), counts)
    both = real[:, :, None] & real[:, None, :]
    decay = tensor(arrays["decay"]).to(dtype).requires_grad_()
    factors = decay.permute(1, 0, 2, 3)[:, both]
    table = torch.cat([factors, factors.new_zeros(4, 1)], dim=1)
    nodes = x[real]
    projected = [
        nn.functional.linear(nodes, parameters[f"{name}_weight"], parameters[f"{name}_bias"]).view(-1, 4, 4)
        for name in "qkv"
    ]
    out = decay_attention(*projected, distances, table).flatten(1)
    out = nn.functional.linear(out, parameters["o_weight"], parameters["o_bias"])
    assert_equal(out.to(torch.float64), arrays["out"][real.numpy()], **tolerance)
    (out * tensor(arrays["weight"]).to(dtype)[real]).sum().backward()
    for name, parameter in parameters.items():
        assert_equal(parameter.grad.double(), arrays[f"grad_{name}"], **tolerance)
    assert_equal(x.grad[real].double(), arrays["grad_x"][real.numpy()], **tolerance)
    inside = both[:, None].expand_as(decay)
    assert_equal(decay.grad[inside].double(), arrays["grad_decay"][inside.numpy()], **tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_layer(golden, precision, kind, mode):
    dtype, tolerance = precision
    shared, arrays = below(golden, "layer/"), below(golden, f"layer/{kind}/")
    name = "gatedgcn_gate" if kind == "gatedgcn_pe" else kind
    layer = GradformerLayer(
        16, 4, name, float(shared["gamma"]), shared["hop"].tolist(), float(shared["slope"])
    ).to(torch.float64)
    load(layer, layer_state(below(arrays, "param/")))
    with torch.no_grad():
        layer.decay.tau.copy_(tensor(shared["hop"]))
    layer.to(dtype).train(mode == "train")
    x = tensor(shared["x"]).to(dtype).requires_grad_()
    edges = tensor(shared["edge_attr"]).to(dtype).requires_grad_()
    encodings = tensor(shared["pe"]).to(dtype)
    graph, distances = graph_of(golden), distances_of(golden)
    if mode == "eval":
        assert_equal(
            layer.message_passing(graph, x, edges, encodings).double(), arrays["mpnn_eval"], **tolerance
        )
    out = layer(graph, x, distances, None if kind == "gin" else edges, encodings)
    assert_equal(out.double(), arrays[f"{mode}/out"], **tolerance)
    (out * tensor(shared["weight"]).to(dtype)).sum().backward()
    assert_equal(x.grad.double(), arrays[f"{mode}/grad_x"], **tolerance)
    assert_equal(layer.decay.tau.grad.double(), arrays[f"{mode}/grad_hop"], **tolerance)
    if kind != "gin":
        assert_equal(edges.grad.double(), arrays[f"{mode}/grad_edge_attr"], **tolerance)
    gradients = layer_state(below(arrays, f"{mode}/grad/"))
    assert gradients.keys() == {n for n, _ in layer.named_parameters()} - {"decay.tau"}
    for parameter, gradient in gradients.items():
        assert_equal(layer.get_parameter(parameter).grad.double(), gradient.numpy(), **tolerance)
    if mode == "train":
        after = layer_state(below(arrays, "train/after/"))
        assert len(after) == (8 if "gated" in kind else 6)
        for buffer, value in after.items():
            assert_equal(layer.get_buffer(buffer).double(), value.numpy(), **tolerance)


def build(golden, name):
    cfg = below(golden, f"model/{name}/cfg/")
    inputs = below(golden, f"model/{name}/in/")
    model = Gradformer(
        int(cfg["num_tasks"]),
        int(cfg["channels"]),
        int(cfg["num_layers"]),
        int(cfg["nhead"]),
        node_encoder="embedding" if name == "zinc" else "linear",
        node_size=int(cfg["node_dim"]) if name == "zinc" else inputs["x"].shape[1],
        edge_encoder=None if name == "nci1" else "embedding",
        edge_size=len(golden[f"model/{name}/param/edge_emb.weight"]) if name != "nci1" else None,
        encoding=f"rwse:{int(cfg['pe_origin_dim'])}",
        encoding_mode="add" if name == "nci1" else "concat",
        encoding_feat_size=None if name == "nci1" else int(cfg["pe_dim"]),
        encoding_norm=name != "nci1",
        message_passing={"nci1": "gin", "zinc": "gine", "cluster": "gatedgcn"}[name],
        gamma=float(cfg["gamma"]),
        slope=float(cfg["slope"]),
        hop=float(cfg["n_hop"]),
        readout=None if name == "cluster" else "sum",
        head="linear" if name == "nci1" else "mlp",
    ).double()
    load(model, model_state(below(golden, f"model/{name}/param/")))
    batch = GraphBatch(
        graph_of(golden),
        distances_of(golden),
        node_features=tensor(inputs["x"]),
        edge_features=tensor(inputs["edge_attr"]),
        encodings={model.encoding: tensor(inputs["pe"])},
        labels=tensor(inputs["y"]),
    )
    return model, batch


def loss_of(name, out, labels):
    if name == "zinc":
        return nn.functional.l1_loss(out[:, 0], labels.to(out.dtype))
    return nn.functional.cross_entropy(out, labels)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_model(golden, precision, name, mode):
    dtype, tolerance = precision
    model, batch = build(golden, name)
    model.to(dtype).train(mode == "train")
    if batch.node_features.dtype.is_floating_point:
        batch.node_features = batch.node_features.to(dtype)
    arrays = below(golden, f"model/{name}/{mode}/")
    out = model(batch)
    assert_equal(out.double(), arrays["out"], **tolerance)
    loss = loss_of(name, out, batch.labels)
    assert_equal(loss.double(), arrays["loss"], **tolerance)
    if dtype == torch.float32 and mode == "train":
        # Statistics of so small a batch amplify rounding; gradients are compared in float64.
        return
    loss.backward()
    assert_equal(model.decay.tau.grad.double(), arrays["grad_hop"], **tolerance)
    if mode == "train":
        gradients = model_state(below(arrays, "grad/"))
        gradients.pop("decay.tau", None)
        assert gradients.keys() == {n for n, _ in model.named_parameters()} - {"decay.tau"}
        for parameter, gradient in gradients.items():
            assert_equal(model.get_parameter(parameter).grad, gradient.numpy(), **tolerance)
        after = model_state(below(arrays, "after/"))
        assert after
        for buffer, value in after.items():
            assert_equal(model.get_buffer(buffer), value.numpy(), **tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_model_at_its_initial_thresholds(golden, name):
    model, batch = build(golden, name)
    with torch.no_grad():
        model.decay.tau.fill_(float(golden[f"model/{name}/cfg/n_hop"]))
    assert_equal(model.eval()(batch), golden[f"model/{name}/eval_default_hop/out"])


@pytest.mark.parametrize("name", MODELS)
def test_model_in_single_precision(golden, name):
    model, batch = build(golden, name)
    out = model.float().eval()(batch)
    assert_equal(out, golden[f"model/{name}/eval_f32/out"], rtol=0.0, atol=2e-5)
