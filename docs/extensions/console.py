"""Highlighting of commands after a prompt: program, options and strings; their output stays plain."""

from typing import Any, ClassVar

from pygments.lexer import RegexLexer, bygroups
from pygments.token import Comment, Generic, Name, String, Text
from sphinx.application import Sphinx


class CommandLexer(RegexLexer):
    """Lines that begin with a prompt are commands, the others output."""

    name = "Commands"
    aliases: ClassVar = ["console"]
    tokens: ClassVar = {
        "root": [
            (r"(\$ )(\S+)", bygroups(Generic.Prompt, Name.Function), "command"),
            (r".*\n", Generic.Output),
        ],
        "command": [
            (r"\n", Text, "#pop"),
            (r"(?<= )#.*", Comment),
            (r"(?<= )--?[a-zA-Z][\w-]*", Name.Attribute),
            (r'"[^"]*"', String),
            (r"\||\$\(|\)", Name.Builtin),
            (r"[^\n\"|$()# -]+", Text),
            (r".", Text),
        ],
    }


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the lexer under the language of console blocks."""
    app.add_lexer("console", CommandLexer)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
