"""Help that fits on a screen, and names that are completed and guessed."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from gradformer_dgl.support.did_you_mean import nearest
from gradformer_dgl.support.registry import is_code

if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:
    # Generic from click 8.2 on only.
    _Choice = click.Choice


class GuessingChoice(_Choice):
    """A choice that tells a name like the one that it does not know."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the choice, or say which ones there are."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            names = [str(choice) for choice in self.choices]
            guess = nearest(value, names)
            if not guess:
                raise
            self.fail(f"{error.message} Did you mean {guess!r}?", param, ctx)


class PartChoice(GuessingChoice):
    """A choice among the parts of a registry, or ``module:Class``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name of the part, or say which ones there are."""
        return str(value) if is_code(str(value)) else super().convert(value, param, ctx)


class ExplainedOption(click.Option):
    """An option that ``--help`` names under a heading, and ``--help-all`` explains."""

    def __init__(self, *arguments: Any, heading: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.heading = heading

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return nothing for the list of options, but in a long help."""
        return super().get_help_record(ctx) if ctx.meta.get(_ALL) else None


_ALL = "gradformer_dgl.help_all"


class LongCommand(click.Command):
    """A command with so many options that ``--help`` only names some of them."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options, ``--help-all`` before ``--help``."""
        *own, help_option = super().get_params(ctx)
        return [*own, _help_all(), help_option]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Explain the options, and name those that are explained elsewhere."""
        super().format_options(ctx, formatter)
        if ctx.meta.get(_ALL):
            return
        named: dict[str, list[str]] = {}
        for option in self.params:
            if isinstance(option, ExplainedOption):
                named.setdefault(option.heading, []).append(option.opts[0])
        for heading, names in named.items():
            with formatter.section(heading):
                width = formatter.width - formatter.current_indent
                for line in textwrap.wrap(" ".join(names), width, break_on_hyphens=False):
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def _help_all() -> click.Option:
    def show(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
        if wanted and not ctx.resilient_parsing:
            ctx.meta[_ALL] = True
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()

    return click.Option(
        ["--help-all"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Explain the options below too.",
    )


def complete_dataset(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a data set; what is none may be a file."""
    from gradformer_dgl.data.catalog import dataset_names, known_names

    names = known_names() if incomplete else dataset_names()
    return completed(names, incomplete) or [CompletionItem(incomplete, type="file")]


def complete_preset(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a preset."""
    from gradformer_dgl.training.config import preset_names

    return completed(preset_names(), incomplete)


def completed(names: Sequence[str], incomplete: str) -> list[CompletionItem]:
    """Return the names that begin so, in upper or lower case."""
    start = incomplete.casefold()
    return [CompletionItem(name) for name in names if name.casefold().startswith(start)]
