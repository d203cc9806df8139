"""Raw files of the Open Graph Benchmark, in the folders of the package ogb: download, tables, splits.

Hu et al., "Open Graph Benchmark: datasets for machine learning on graphs", NeurIPS 2020.
"""

import os
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, Num
from torch import Tensor

from gradformer_dgl.data.readers.download import default_folder, download_zip, unpack
from gradformer_dgl.support.errors import DataError, one_line

OGB_URL = "http://snap.stanford.edu/ogb/data"


def split_paths(kind: str) -> dict[str, str]:
    """Return the files of the split of a kind."""
    names = {"train": "train", "val": "valid", "test": "test"}
    return {part: f"split/{kind}/{name}.csv.gz" for part, name in names.items()}


def ogb_folder(data_root: str | Path | None, name: str, archive: str, variable: str, *paths: str) -> Path:
    """Return the folder of a data set; download missing files from OGB, or the address in ``variable``."""
    folder = (default_folder() if data_root is None else Path(data_root)) / name
    if not (folder / paths[-1]).is_file():
        url = os.environ.get(variable, f"{OGB_URL}/{archive}")
        unpack(download_zip(url, folder / Path(archive).name), folder, paths)
    return folder


def read_table(file: Path, dtype: type) -> Num[np.ndarray, "rows columns"]:
    """Read a table of numbers, gzipped."""
    try:
        return np.loadtxt(file, dtype=dtype, delimiter=",", ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{file} cannot be read ({one_line(error)}); get it again") from error


def read_split(folder: Path, kind: str, count: int, noun: str) -> dict[str, Int64[Tensor, " _"]]:
    """Return the numbers of ``"train"``, ``"val"`` and ``"test"``, which must be each of ``count`` once."""
    split = {
        part: torch.from_numpy(read_table(folder / path, np.int64)[:, 0])
        for part, path in split_paths(kind).items()
    }
    if not torch.equal(torch.cat(list(split.values())).sort().values, torch.arange(count)):
        raise DataError(f"{folder}: the splits are not of its {count} {noun}; get the data again")
    return split
