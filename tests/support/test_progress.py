"""Progress on a terminal, in a log and in silence."""

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
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    return stream


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
    work(Progress("trials", shown=True))
    text = terminal.getvalue()
    assert "2 of 5 are done" in text
    assert "[3/5] trial 2: score 7" in text
    assert "3/5" in text.splitlines()[-1]
    assert log.messages == []


def test_tasks_that_wait_have_a_bar(terminal):
    with Progress(shown=True) as progress:
        progress.add("seed 3", 7)
        progress.add("seed 5", 7)
        progress.plan(2)
    assert [line.split()[:2] for line in terminal.getvalue().splitlines()[-2:]] == [
        ["seed", "3"],
        ["seed", "5"],
    ]


@pytest.mark.parametrize(("keep", "done", "failed"), [("always", 1, 1), ("done", 1, 0), ("never", 0, 0)])
def test_what_stays_at_the_end(keep, done, failed, monkeypatch, capsys):
    for error, stays in ((None, done), (KeyboardInterrupt, failed)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        progress = Progress("pairs", shown=True, keep=keep)
        try:
            with progress:
                progress.plan(11)
                progress.advance(7)
                if error:
                    raise error
        except KeyboardInterrupt:
            pass
        erased = "\x1b[2K" in capsys.readouterr().err.rpartition("7/11")[2]
        assert erased == (not stays)


def test_a_bar_outside_a_terminal(capsys):
    with Progress("distances", shown=True, keep="done", anywhere=True) as progress:
        progress.plan(11)
        progress.advance(11)
    assert "11/11" in capsys.readouterr().err
    with (
        pytest.raises(ZeroDivisionError),
        Progress("distances", True, keep="done", anywhere=True) as progress,
    ):
        progress.plan(None)
        progress.advance(3 // 0)
    assert capsys.readouterr() == ("", "")


def test_silence(terminal, log):
    work(Progress("trials"))
    assert terminal.getvalue() == ""
    assert log.messages == []
