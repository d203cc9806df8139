import numpy as np
import pytest
import torch

from gradformer_dgl.data.dgl_features import AUTO, frame_features, stack_labels
from gradformer_dgl.support.errors import GraphError


@pytest.mark.parametrize(
    ("keys", "frame_name", "chosen"),
    [
        (["h", "attr", "feat"], "ndata", "feat"),
        (["node_labels", "node_attr"], "ndata", "node_attr"),
        (["e", "edge_labels"], "edata", "edge_labels"),
        (["label", "x"], "ndata", None),
    ],
)
def test_the_first_usual_key_is_taken(keys: list[str], frame_name: str, chosen: str | None) -> None:
    frame = {key: torch.full((3,), float(place)) for place, key in enumerate(keys)}
    taken = frame_features(frame, AUTO, frame_name)
    if chosen is None:
        assert taken is None
    else:
        assert taken is not None
        assert torch.equal(taken, frame[chosen])


def test_a_key_is_taken_or_refused() -> None:
    frame = {"x": torch.ones(3), "feat": torch.zeros(3)}
    assert frame_features(frame, "x", "ndata").tolist() == [1, 1, 1]
    assert frame_features(frame, None, "ndata") is None
    with pytest.raises(GraphError, match=r"no edata\['y'\]; choose one of \['feat', 'x'\] or None"):
        frame_features(frame, "y", "edata")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float64, torch.float32),
        (torch.float16, torch.float32),
        (torch.bool, torch.float32),
        (torch.uint8, torch.int64),
        (torch.int32, torch.int64),
    ],
)
def test_features_have_one_of_two_types(given: torch.dtype, expected: torch.dtype) -> None:
    taken = frame_features({"feat": torch.ones(3, 2).to(given)}, AUTO, "ndata")
    assert taken is not None
    assert taken.dtype == expected
    assert taken.shape == (3, 2)


@pytest.mark.parametrize(
    ("labels", "shape", "dtype"),
    [
        ([3, 1, 2], (3,), torch.int64),
        ([0.5, 1.5], (2,), torch.float32),
        ([np.float64(0.5), torch.tensor(1.5)], (2,), torch.float32),
        ([torch.tensor([1]), torch.tensor([0])], (2, 1), torch.int64),
        ([[0.5, 1.0, 2.0], np.ones(3)], (2, 3), torch.float32),
        (torch.ones(5, 2, dtype=torch.float64), (5, 2), torch.float32),
        ([True, False], (2,), torch.int64),
    ],
)
def test_labels_are_stacked(labels: object, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    stacked = stack_labels(labels)
    assert stacked is not None
    assert stacked.shape == shape
    assert stacked.dtype == dtype


@pytest.mark.parametrize("labels", [[torch.ones(2), torch.ones(3)], ["cat", "dog"], [None, 1]])
def test_labels_that_do_not_stack_are_refused(labels: list[object]) -> None:
    with pytest.raises(GraphError, match="labels cannot be stacked") as caught:
        stack_labels(labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("frame_name", "key"), [("ndata", AUTO), ("edata", "feat")])
def test_complex_numbers_are_refused(frame_name: str, key: str) -> None:
    values = torch.ones(3, 2, dtype=torch.complex64)
    with pytest.raises(GraphError, match=rf"{frame_name}\['feat'\] holds complex numbers; give real ones"):
        frame_features({"feat": values}, key, frame_name)
    with pytest.raises(GraphError, match="labels are complex numbers; give real ones"):
        stack_labels(list(values))
