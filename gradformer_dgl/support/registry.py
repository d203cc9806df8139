"""Registries: one table for each kind of part, with the options of each part and the place of its code."""

import contextlib
import functools
import importlib
import reprlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradformer_dgl.support.did_you_mean import suggestion
from gradformer_dgl.support.errors import ConfigError, one_line

# A few lines of YAML can stand for a value of gigabytes.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 1, 80, 80
short_repr = _SHORT.repr

_KIND_NAMES = {int: "whole number", float: "number", bool: "true or false", str: "name"}


@dataclass(frozen=True)
class Option:
    """One option of a part, or of training: the key in YAML files and, with dashes, on the command line.

    Parameters
    ----------
    name : str
        The key.
    default : int, float, bool or str
        Its type is the type of the option.
    help : str
        What it does, in one sentence without a capital letter and full stop.
    low, high : float, optional
        Smallest and largest value of a number.
    choices : tuple of str or Registry, optional
        The values of a name; a registry admits ``module:Class`` too.
    optional : bool
        Whether "none" is a value beside the choices.
    argument : str, optional
        The argument of the part's class that takes the value, where it is called differently.

    Examples
    --------
    >>> Option("gamma", 0.6, "base of the decay", low=0, high=1).checked(1)
    1.0
    >>> Option("gamma", 0.6, "base of the decay", low=0, high=1).checked(2)
    Traceback (most recent call last):
    ...
    gradformer_dgl.support.errors.ConfigError: gamma lies between 0 and 1, not at 2.0
    """

    name: str
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: "tuple[str, ...] | Registry | None" = None
    optional: bool = False
    argument: str | None = None

    @property
    def kind(self) -> type:
        """Type of the values."""
        return type(self.default)

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    def checked(self, value: Any) -> Any:
        """Return a value as this option takes it, or raise `ConfigError` with what it takes."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self.kind:
            raise ConfigError(f"{self.name} takes a {_KIND_NAMES[self.kind]}, not {short_repr(value)}")
        if self.optional and value == "none":
            return value
        if isinstance(self.choices, Registry):
            self.choices.part(str(value), setting=self.name)
        elif self.choices is not None and value not in self.choices:
            raise ConfigError(
                f"{self.name} is one of {', '.join(self.choices)}, not {short_repr(value)}"
                f"{suggestion(value, self.choices)}"
            )
        low = float("-inf") if self.low is None else self.low
        high = float("inf") if self.high is None else self.high
        if isinstance(value, int | float) and not low <= value <= high:
            raise ConfigError(f"{self.name} lies between {low:g} and {high:g}, not at {value!r}")
        return value


@dataclass(frozen=True)
class Part:
    """One line of a registry.

    Parameters
    ----------
    name : str
        As settings and the command line say it.
    code : str
        ``"module:name"`` of the class or function, imported on first use; ``""`` where there is none.
    help : str
        What it is, in a few words.
    options : tuple of Option
        Its own settings.
    traits : mapping of str to object
        What others have to know of it before its code is loaded, such as ``{"reads_edges": True}``.
    """

    name: str
    code: str
    help: str = ""
    options: tuple[Option, ...] = ()
    traits: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """Return the class or function."""
        return load_object(self.code)


class Registry(Mapping[str, Part]):
    """The parts of one kind by name; ``module:Class`` names one of a user's own.

    A class or function of a user's own says its options in its attribute ``options``, a tuple of
    :class:`Option`, and what else the kind needs in ``traits``, a mapping.

    Parameters
    ----------
    kind : str
        What the parts are, in the singular, for messages.
    parts : iterable of Part
        The parts that come with the package.

    Examples
    --------
    >>> from gradformer_dgl.support.registry import Part, Registry
    >>> readouts = Registry("readout", [Part("sum", "math:fsum"), Part("max", "builtins:max")])
    >>> readouts.load("sum")([1.0, 2.0])
    3.0
    >>> readouts.part("som")
    Traceback (most recent call last):
    ...
    gradformer_dgl.support.errors.ConfigError: readout is one of sum, max, not 'som'; did you mean 'sum'?
    """

    def __init__(self, kind: str, parts: Iterable[Part]) -> None:
        self.kind = kind
        self._parts = {part.name: part for part in parts}

    def __getitem__(self, name: str) -> Part:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, part: Part) -> None:
        """Add a part, or replace the one that has its name."""
        self._parts[part.name] = part

    def part(self, name: str, setting: str | None = None) -> Part:
        """Return the part with a name or of ``module:Class``; messages name the ``setting``."""
        if name in self._parts:
            return self._parts[name]
        if is_code(name):
            code = load_object(name)
            return Part(
                name,
                name,
                options=tuple(getattr(code, "options", ())),
                traits=dict(getattr(code, "traits", {})),
            )
        raise ConfigError(
            f"{setting or self.kind.replace(' ', '_')} is one of {', '.join(self)}, not {short_repr(name)}"
            f"{suggestion(name, self)}"
        )

    def load(self, name: str) -> Any:
        """Return the class or function with a name, or that of ``module:Class``."""
        return self.part(name).load()

    def arguments(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a part, set or by default, as keyword arguments of its class."""
        return {
            option.argument or option.name: settings.get(option.name, option.default)
            for option in self.part(name).options
        }

    def all_options(self) -> tuple[Option, ...]:
        """Return the options of all parts, each name once."""
        return tuple({option.name: option for part in self.values() for option in part.options}.values())


def is_code(name: str) -> bool:
    """Return whether a name has the form ``module:Class``."""
    module, colon, path = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), *path.split(".")])


@functools.cache
def load_object(code: str) -> Any:
    """Import ``module:name``, a user's own from the current folder too, or raise `ConfigError`."""
    module_name, _, path = code.partition(":")
    # The folder may be a stranger's: what the package itself imports is not looked for there.
    if module_name.partition(".")[0] != __name__.partition(".")[0]:
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)
        importlib.invalidate_caches()
    try:
        # Standard output is for results.
        with contextlib.redirect_stdout(sys.stderr):
            found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (module_name == missing or module_name.startswith(f"{missing}.")):
            raise ConfigError(f"there is no module {missing!r} in the current folder or installed") from error
        reason = one_line(error) or type(error).__name__
        raise ConfigError(f"the module {module_name} cannot be imported ({reason})") from error
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ConfigError(f"the module {module_name} has no {path!r}")
    return found
