"""Progress on a terminal, in a log and in silence."""

import contextlib
import io
import logging
import sys

import pytest

from gradformer_dgl.support.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes stderr a terminal, and returns what is written there."""

    def make() -> Terminal:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "150")
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        return screen

    return make


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, "gradformer_dgl")
    return caplog


def work(progress):
    with progress:
        progress.plan(total=5, done=2)
        for epoch in range(1, 8):
            progress.epoch("trial 2", epoch, 7, f"score {epoch}")
        progress.finished("trial 2", "score 7")


def test_lines_where_there_is_no_terminal(log, capsys):
    work(Progress("trials", shown=True, lines=2))
    assert log.messages == [
        "2 of 5 are done",
        "trial 2  epoch 4/7  score 4",
        "trial 2  epoch 7/7  score 7",
        "[3/5] trial 2: score 7",
    ]
    log.clear()
    work(Progress("trials", shown=True))
    assert log.messages == ["2 of 5 are done", "[3/5] trial 2: score 7"]
    assert capsys.readouterr() == ("", "")


def test_bars_and_lines_on_a_terminal(terminal, log):
    screen = terminal()
    work(Progress("trials", shown=True))
    text = screen.getvalue()
    assert "2 of 5 are done" in text
    assert "[3/5] trial 2: score 7" in text
    assert "3/5" in text.splitlines()[-2]
    assert log.messages == []


def test_tasks_that_wait_have_a_bar(terminal):
    screen = terminal()
    with Progress(shown=True) as progress:
        progress.add("seed 3", 7)
        progress.add("seed 5", 7)
        progress.plan(2)
    for line, seed in zip(screen.getvalue().splitlines()[-3:-1], (3, 5), strict=True):
        assert f"seed {seed} " in line
        assert "0/7" in line


@pytest.mark.parametrize(("keep", "done", "failed"), [("always", 1, 1), ("done", 1, 0), ("never", 0, 0)])
def test_bars_that_stay_at_the_end(keep, done, failed, terminal):
    for error, stays in ((None, done), (KeyboardInterrupt, failed)):
        screen = terminal()
        with contextlib.suppress(KeyboardInterrupt), Progress("pairs", shown=True, keep=keep) as progress:
            progress.plan(11)
            progress.advance(7)
            if error:
                raise error
        assert ("\x1b[2K" in screen.getvalue().rpartition("7/11")[2]) == (not stays)


def test_a_bar_outside_a_terminal(capsys):
    with Progress("distances", shown=True, keep="done", anywhere=True) as progress:
        progress.plan(11)
        progress.advance(11)
    assert "11/11" in capsys.readouterr().err
    with (
        contextlib.suppress(KeyboardInterrupt),
        Progress("distances", shown=True, keep="done", anywhere=True) as progress,
    ):
        progress.plan(None)
        progress.advance(3)
        raise KeyboardInterrupt
    assert capsys.readouterr() == ("", "")


def test_silence(terminal, log):
    screen = terminal()
    work(Progress("trials"))
    assert screen.getvalue() == ""
    assert log.messages == []
