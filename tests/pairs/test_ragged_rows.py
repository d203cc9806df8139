import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradformer_dgl.pairs.ragged_rows import Rows, starts_of

DTYPES = [torch.bool, torch.uint8, torch.uint16, torch.int32, torch.int64, torch.float32, torch.float64]


def expected_rows(counts: list[int], chosen: list[int]) -> list[int]:
    starts = [sum(counts[:graph]) for graph in range(len(counts))]
    return [starts[graph] + row for graph in chosen for row in range(counts[graph])]


@given(
    counts=st.lists(st.integers(0, 5), min_size=1, max_size=7),
    data=st.data(),
)
def test_rows_are_those_of_a_loop(counts: list[int], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=11))
    all_counts = torch.tensor(counts)
    picked = torch.tensor(chosen, dtype=torch.int64)
    rows = Rows(starts_of(all_counts)[picked], all_counts[picked], torch.device("cpu"))
    expected = torch.tensor(expected_rows(counts, chosen), dtype=torch.int64)
    values = torch.arange(sum(counts) * 3).view(-1, 3)
    assert torch.equal(rows.index, expected)
    assert torch.equal(rows.take(values), values[expected])
    shifts = torch.arange(len(chosen)) * 1000
    ids = values[:, 0].int().contiguous()
    spread = torch.repeat_interleave(shifts, all_counts[picked])
    assert torch.equal(rows.take_shifted(ids, shifts), ids[expected].long() + spread)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_taken_whole(dtype: torch.dtype) -> None:
    values = torch.arange(13).to(dtype)
    rows = Rows(torch.tensor([11, 2]), torch.tensor([2, 3]), torch.device("cpu"))
    taken = rows.take(values)
    assert taken.dtype == dtype
    expected = values.to(torch.float64)[[11, 12, 2, 3, 4]]
    assert torch.equal(taken.to(torch.float64), expected)


def test_strided_values_are_taken_right() -> None:
    values = torch.arange(26).view(13, 2)[:, 1]
    rows = Rows(torch.tensor([3]), torch.tensor([2]), torch.device("cpu"))
    assert rows.take(values).tolist() == [7, 9]


@pytest.mark.parametrize("dtype", DTYPES)
def test_gathering_as_on_accelerators_gives_the_same(dtype: torch.dtype) -> None:
    values = torch.arange(26).view(13, 2).to(dtype)
    ids = torch.arange(13, dtype=torch.int32)
    shifts = torch.tensor([100, 0, 300])
    copying, gathering = (
        Rows(torch.tensor([11, 5, 2]), torch.tensor([2, 0, 3]), torch.device("cpu")) for _ in range(2)
    )
    gathering.gathers = True
    one, other = copying.take(values), gathering.take(values)
    assert one.dtype == other.dtype
    assert torch.equal(one.to(torch.float64), other.to(torch.float64))
    shifted = gathering.take_shifted(ids, shifts)
    assert shifted.dtype == torch.int64
    assert torch.equal(copying.take_shifted(ids, shifts), shifted)
