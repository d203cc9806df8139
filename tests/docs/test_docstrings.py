"""Docstrings of all public names: parameters, results and an example."""

import dataclasses
import doctest
import importlib
import inspect
import re
from collections.abc import Iterator

import pytest
from pages import DOCS, ROOT

PACKAGES = (
    "gradformer_dgl",
    "gradformer_dgl.kernels.attention",
    "gradformer_dgl.cache",
    "gradformer_dgl.data",
    "gradformer_dgl.nn",
    "gradformer_dgl.nn.message_passing",
    "gradformer_dgl.preprocess",
)

# What a function gives that gives nothing; the last is that of a context manager for its block alone.
NOTHING = (None, "None", inspect.Signature.empty, Iterator[None])


def public_objects():
    """Return (name, object) for the functions and classes in the `__all__` of each package."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found.setdefault(value, f"{package}.{name}")
    return [pytest.param(value, id=name) for value, name in found.items()]


def sections(text):
    """Return the sections of a numpydoc docstring by title, each with its lines."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", inspect.cleandoc(text or ""), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip("\n").split("\n") for part in parts[2::2]), strict=True))


def described(text):
    """Return the names that stand before a colon, or alone, at the margin of the parameters."""
    names = set()
    for line in sections(text).get("Parameters", []):
        if line and not line[0].isspace():
            names |= {name.strip(" *") for name in line.partition(":")[0].split(",")}
    return names


def taken(function):
    """Return the names of the arguments of a function or a class."""
    if dataclasses.is_dataclass(function):
        return {field.name for field in dataclasses.fields(function) if field.init}
    if inspect.isclass(function) and "__init__" not in vars(function):
        return set()
    return set(inspect.signature(function).parameters) - {"self"}


def undescribed(value):
    """Return what the docstring of a function or class lacks."""
    text = value.__doc__ or ""
    lacks = [f"parameter {name}" for name in sorted(taken(value) - described(text))]
    if not doctest.DocTestParser().get_examples(text):
        lacks.append("an example")
    if inspect.isfunction(value):
        given = inspect.signature(value).return_annotation
        if given not in NOTHING and not {"Returns", "Yields"} & sections(text).keys():
            lacks.append("what is returned")
    return lacks


@pytest.mark.parametrize("value", public_objects())
def test_docstring_is_whole(value):
    assert undescribed(value) == []


@pytest.mark.parametrize("value", [item for item in public_objects() if inspect.isclass(item.values[0])])
def test_public_methods_have_docstrings(value):
    own = {name: member for name, member in vars(value).items() if not name.startswith("_")}
    bare = [
        name
        for name, member in own.items()
        if (inspect.isfunction(member) or isinstance(member, (property, classmethod)))
        and name not in ("forward", "extra_repr")
        and not inspect.getdoc(getattr(value, name))
    ]
    assert bare == []


def test_every_package_has_an_api_page():
    declare = {
        ".".join(("gradformer_dgl", *file.parent.relative_to(ROOT / "gradformer_dgl").parts))
        for file in (ROOT / "gradformer_dgl").rglob("__init__.py")
        if "__all__" in file.read_text(encoding="utf-8")
    }
    assert declare | {"gradformer_dgl.cache", "gradformer_dgl.preprocess"} == set(PACKAGES)
    text = "".join(file.read_text(encoding="utf-8") for file in (DOCS / "api").glob("*.rst"))
    for package in PACKAGES:
        assert f".. automodule:: {package}\n   :members:\n   :imported-members:\n" in text


def test_a_bare_function_is_noticed():
    def bare(first, second) -> int:
        """Say little.

        Parameters
        ----------
        first : int
            Something.
        """

    assert undescribed(bare) == ["parameter second", "an example", "what is returned"]
