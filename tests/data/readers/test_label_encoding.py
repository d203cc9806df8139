import numpy as np
import pytest

from gradformer_dgl.data.readers.csv_table import some_lines
from gradformer_dgl.data.readers.label_encoding import degree_columns, label_codes, one_hot, values_of
from gradformer_dgl.support.errors import DataError

LABELS = np.array([[7, 0], [4, 0], [7, 0]])


def test_codes_are_places_among_the_values_and_one_hot_by_column():
    values = values_of(LABELS)
    codes = label_codes(LABELS, values, "the labels")
    assert values == ((4, 7), (0,))
    assert codes.tolist() == [[1, 0], [0, 0], [1, 0]]
    assert one_hot(codes, values).astype(int).tolist() == [[0, 1, 1], [1, 0, 1], [0, 1, 1]]


def test_labels_that_the_training_data_did_not_have_are_named():
    with pytest.raises(DataError, match=r"^the labels have the value 5, but those .* data only 4, 7$"):
        label_codes(np.array([[7], [5]]), [(4, 7)], "the labels")
    with pytest.raises(DataError, match=r"values 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more, but .* only 13$"):
        label_codes(np.arange(12)[:, None], [(13,)], "the labels")
    with pytest.raises(DataError, match="have 2 columns, but those of the training data have 1"):
        label_codes(LABELS, [(4, 7)], "the labels")


def test_degrees_beyond_the_largest_count_as_it():
    columns = degree_columns(np.array([0, 2, 9]), max_degree=2)
    assert columns.astype(int).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([3], "line 3"),
        ([3, 7], "lines 3, 7"),
        (range(2, 50), "lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 38 more"),
    ],
)
def test_some_lines_are_named(lines, text):
    assert some_lines(lines) == text
