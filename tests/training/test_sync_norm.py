import pytest
import torch
from torch import nn

from gradformer_dgl.training import sync_norm
from gradformer_dgl.training.sync_norm import SyncBatchNorm1d, synchronize_norms


@pytest.fixture
def _alone(monkeypatch):
    """One rank, and no process group."""
    monkeypatch.setattr(sync_norm.distributed, "get_world_size", lambda: 1)
    monkeypatch.setattr(sync_norm.distributed, "all_gather", lambda parts, own: parts[0].copy_(own))
    monkeypatch.setattr(sync_norm.distributed, "all_reduce", lambda values: None)


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"eps": 0.1}])
def test_a_rank_alone_normalises_as_torch_does(options):
    torch.manual_seed(2)
    plain = nn.BatchNorm1d(5, dtype=torch.float64, **options)
    synced = SyncBatchNorm1d(5, dtype=torch.float64, **options)
    for _ in range(3):
        x = (torch.randn(11, 5, dtype=torch.float64) * 3 + 7).requires_grad_()
        outputs = [norm(x) for norm in (plain, synced)]
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-12, atol=1e-12)
        weights = torch.randn(11, 5, dtype=torch.float64)
        gradients = [
            torch.autograd.grad((out * weights).sum(), [x, *norm.parameters()])
            for out, norm in zip(outputs, (plain, synced), strict=True)
        ]
        assert gradients[0][0].abs().sum() > 0
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(synced.state_dict(), plain.state_dict(), rtol=1e-12, atol=1e-12)
    plain.load_state_dict(synced.state_dict())
    x = torch.randn(3, 5, dtype=torch.float64)
    torch.testing.assert_close(synced.eval()(x), plain.eval()(x))


@pytest.mark.usefixtures("_alone")
def test_a_large_offset_does_not_cancel():
    x = torch.randn(1009, 3, generator=torch.Generator().manual_seed(1)) + 10_000
    out = SyncBatchNorm1d(3)(x)
    expected = nn.BatchNorm1d(3).double()(x.double())
    assert (out - expected).abs().max() < 2e-3


def test_moments_of_unequal_ranks_merge(monkeypatch):
    torch.manual_seed(4)
    parts = [torch.randn(rows, 3, dtype=torch.float64) + shift for rows, shift in [(7, 100), (0, 0), (2, -5)]]
    sent = []
    monkeypatch.setattr(sync_norm.distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(sync_norm.distributed, "all_gather", lambda into, own: sent.append(own))
    for part in parts:
        sync_norm.pooled_moments(part)

    def gather(into, own):
        for target, values in zip(into, sent, strict=True):
            target.copy_(values)

    monkeypatch.setattr(sync_norm.distributed, "all_gather", gather)
    total, mean, squares = sync_norm.pooled_moments(parts[1])
    whole = torch.cat(parts)
    assert total == 9
    torch.testing.assert_close(mean, whole.mean(0))
    torch.testing.assert_close(squares, whole.var(0, correction=0) * 9)


def test_all_norms_of_a_network_change_in_place():
    network = nn.Sequential(nn.Linear(3, 5), nn.Sequential(nn.BatchNorm1d(5)), nn.BatchNorm1d(5))
    before = network.state_dict(keep_vars=True)
    synchronize_norms(network)
    assert [type(norm) for norm in (network[1][0], network[2])] == [SyncBatchNorm1d] * 2
    assert all(network.state_dict(keep_vars=True)[name] is value for name, value in before.items())
