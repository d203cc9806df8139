"""The `gradformer-dgl` command: one module per subcommand, loaded when it is called."""

import contextlib
import errno
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import click

from gradformer_dgl.support.errors import GradformerError, one_line
from gradformer_dgl.version import __version__

_COMMANDS = {
    "datasets": "list the data sets that can be used by name",
    "preprocess": "compute the distances of a data set and cache them",
    "info": "show what a cache holds",
    "train": "train a model on a preprocessed data set",
    "evaluate": "score the saved weights of a run again",
    "predict": "predict new graphs with the weights of a run",
    "plot": "draw training, decay, attention and test predictions of a run",
    "reproduce": "train what a table of the paper compares, and write the table",
    "tune": "search good settings with Optuna, by validation scores alone",
    "doctor": "show versions and whether the installation can use the GPU",
}


class _LazyGroup(click.Group):
    """Knows the commands by name and loads the one that is called: `--help` answers at once."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"gradformer_dgl.cli.{name}").command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            from gradformer_dgl.support.did_you_mean import nearest

            guess = nearest(args[0], _COMMANDS)
            if not guess:
                raise
            raise click.UsageError(
                f"No such command {args[0]!r}. Did you mean {guess!r}?", context
            ) from error


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="gradformer-dgl")
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors; no progress bar.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def group(context: click.Context, verbose: bool, quiet: bool, debug: bool) -> None:
    """Graph transformers with an exponential-decay attention mask.

    Example: gradformer-dgl preprocess NCI-TPSA

    Example: gradformer-dgl train NCI-TPSA

    Results go to stdout, the rest to stderr. Exit status: 0 done, 1 a mistake that one line explains, 2 wrong
    usage, 3 rows left empty (predict), 130 interrupted, 143 terminated.

    Bash completes commands, options and names after eval "$(_GRADFORMER_DGL_COMPLETE=bash_source
    gradformer-dgl)"; zsh_source and fish_source are for the others.
    """
    context.obj = {"quiet": quiet}
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("gradformer_dgl")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(level)


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit.

    0 is done, 1 an error of the user's, 2 wrong usage, 130 interrupted, 143 terminated. Besides, `predict`
    exits with 3 where it left rows empty.
    """
    args = sys.argv[1:] if args is None else args
    if "--debug" in args:
        # Wherever it stands: whoever has just seen an error adds it at the end.
        args = ["--debug", *(arg for arg in args if arg != "--debug")]
    try:
        with _terminated_as_interrupted(), _own_logging():
            group.main(args, prog_name="gradformer-dgl", standalone_mode=False)
    except _Terminated:
        _fail("terminated", status=143)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail("interrupted", status=130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of stdout has left; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if "--debug" in args:
            raise
        _fail(_one_line(error))


class _Terminated(BaseException):
    """Somebody asked this process to end."""


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Clean up where SIGTERM would end this process on the spot and leave its children to themselves.

    Under torchrun it does: a rank that waits for another, which has ended, would not see the signal.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Leave the logger of the package as it was, to whoever calls the command from Python."""
    logger = logging.getLogger("gradformer_dgl")
    before = logger.handlers, logger.propagate, logger.level
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])


def _one_line(error: BaseException) -> str:
    text = one_line(error)
    if isinstance(error, GradformerError):
        return text
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return f"not enough memory: {text or 'use a smaller --batch-size'}"
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return f"no space left on the disk{f' of {error.filename}' if error.filename else ''}"
        return f"{error.filename}: {error.strerror}" if error.filename else text
    return f"{type(error).__name__}: {text} (this is a defect: add --debug to see where)"


def _fail(message: str, status: int = 1) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(status)
