"""Location of the raw files of a TU data set: a folder, a zip, or the server."""

import os
from collections.abc import Iterator
from pathlib import Path

from gradformer_dgl.data.readers.download import download_zip
from gradformer_dgl.data.readers.tu_tables import RawFolder
from gradformer_dgl.support.errors import DataError

TU_URL = "https://www.chrsmrrs.com/graphkerneldatasets/{name}.zip"
_ADJACENCY = "_A.txt"


def find_raw_files(name: str, root: Path) -> RawFolder | None:
    """Find the raw files of a data set below a folder; :class:`DataError` for a broken zip."""
    for folder in _folders(name, root):
        if folder.is_dir() and any(folder.glob(f"{name}_*.txt")):
            return RawFolder.open(folder)
    for archive in (root / name / f"{name}.zip", root / f"{name}.zip"):
        if archive.is_file():
            return RawFolder.open(archive)
    return None


def download_raw_files(name: str, root: Path) -> RawFolder:
    """Download the raw files of a data set to ``NAME/NAME.zip`` below a folder."""
    url = os.environ.get("GRADFORMER_DGL_TU_URL", TU_URL).format(name=name)
    return RawFolder.open(download_zip(url, root / name / f"{name}.zip"))


def single_dataset(path: Path) -> tuple[RawFolder, str]:
    """Return the raw files in a folder or zip and the name of their data set; refuse none or several."""
    folder = RawFolder.open(path)
    if not any(file.endswith(_ADJACENCY) for file in folder.files):
        folder = find_raw_files(path.name, path.parent) or folder
    names = sorted(file.removesuffix(_ADJACENCY) for file in folder.files if file.endswith(_ADJACENCY))
    if len(names) != 1:
        found = f"the data sets {', '.join(names)}: choose one" if names else "no NAME_A.txt"
        raise DataError(f"{path} has {found}")
    return folder, names[0]


def _folders(name: str, root: Path) -> Iterator[Path]:
    yield from (root / name, root / name / name, root / name / "raw", root / name / name / "raw")
    for hashed in sorted(root.glob(f"{name}_????????")):
        yield from (hashed / name, hashed)
