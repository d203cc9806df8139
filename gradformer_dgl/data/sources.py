"""What the name of a data set says about where it is from."""

from pathlib import Path

_CSV_SUFFIXES = (".csv.gz", ".csv")


def is_csv(name: str) -> bool:
    """Whether it is the name of a CSV file.

    Examples
    --------
    >>> is_csv("data/mine.csv"), is_csv("mine.CSV.gz"), is_csv("NCI1")
    (True, True, False)
    """
    return name.lower().endswith(_CSV_SUFFIXES)


def is_function(name: str) -> bool:
    """Whether it is the name of a Python function.

    Examples
    --------
    >>> is_function("my_module:make_dataset"), is_function("NCI1")
    (True, False)
    """
    module, colon, function = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *function.split(".")))


def find_csv(name: str | Path, data_root: str | Path | None = None) -> Path:
    """Return a CSV file, which may lie in the data folder."""
    file = Path(name)
    if data_root is not None and not file.exists() and Path(data_root, file.name).is_file():
        return Path(data_root, file.name)
    return file


def csv_stem(file: Path) -> str:
    """Return the name of a CSV file without suffix.

    Examples
    --------
    >>> csv_stem(Path("data/mine.v2.csv.gz"))
    'mine.v2'
    """
    suffix = next(suffix for suffix in _CSV_SUFFIXES if file.name.lower().endswith(suffix))
    return file.name[: -len(suffix)]
