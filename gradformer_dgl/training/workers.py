"""Process pool of trainings: tasks one after the other, or side by side in spawned processes."""

import contextlib
import itertools
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar, cast

from gradformer_dgl.support.errors import GradformerError, RunError
from gradformer_dgl.support.parent_watchdog import end_with_parent
from gradformer_dgl.training.threads import use_threads

Task = TypeVar("Task")
Report = Callable[[dict[str, Any]], None]
"""Callback of a task after each epoch; raises :class:`TaskStopped` where the task is to end."""


class TaskStopped(Exception):  # noqa: N818 - nothing went wrong
    """The caller wants no more of a task."""


class Workers(Generic[Task]):
    """Do tasks, in this process or in others, and pass on their reports as they come.

    ``work``, a function of a module, takes a task and a :data:`Report` and returns the result. One job at a
    time is done in this process, unless ``fresh`` asks for a new process for every task.
    """

    def __init__(
        self, work: Callable[[Task, Report], Any], jobs: int = 1, fresh: bool = False, threads: int = 1
    ) -> None:
        self._work, self._jobs, self._fresh, self._threads = work, jobs, fresh, threads

    def run(
        self,
        tasks: Iterator[Task],
        on_report: Callable[[Task, dict[str, Any]], bool],
        on_result: Callable[[Task, Any], None],
    ) -> None:
        """Do all tasks; each is taken from the iterator when a worker is free for it.

        ``on_report`` returns False to end a task without a result. The first error of a task is raised here,
        and the other processes are ended.
        """
        if self._jobs == 1 and not self._fresh:
            self._run_here(tasks, on_report, on_result)
        else:
            self._run_in_processes(tasks, on_report, on_result)

    def _run_here(self, tasks: Iterator[Task], on_report: Callable[..., bool], on_result: Callable) -> None:
        for task in tasks:

            def report(record: dict[str, Any], task: Task = task) -> None:
                if not on_report(task, record):
                    raise TaskStopped

            with contextlib.suppress(TaskStopped):
                on_result(task, self._work(task, report))

    def _run_in_processes(
        self, tasks: Iterator[Task], on_report: Callable[..., bool], on_result: Callable
    ) -> None:
        processes: dict[Connection, BaseProcess] = {}
        busy: dict[Connection, Task] = {}
        idle: list[Connection] = []
        try:
            while True:
                for task in itertools.islice(tasks, self._jobs - len(busy)):
                    connection = idle.pop() if idle else self._start(processes)
                    connection.send(task)
                    busy[connection] = task
                if not busy:
                    break
                for ready in wait(list(busy)):
                    connection = cast(Connection, ready)
                    kind, content = _received(connection, processes[connection])
                    if kind == "report":
                        connection.send(on_report(busy[connection], content))
                        continue
                    task = busy.pop(connection)
                    if self._fresh:
                        connection.close()
                        processes.pop(connection).join()
                    else:
                        idle.append(connection)
                    if kind == "error":
                        raise content
                    if kind == "result":
                        on_result(task, content)
        except BaseException:
            for process in processes.values():
                process.terminate()
            raise
        finally:
            # A process whose connection is closed has nothing more to do and ends.
            for connection, process in processes.items():
                connection.close()
                process.join()

    def _start(self, processes: dict[Connection, BaseProcess]) -> Connection:
        # Spawned, not forked: the OpenMP threads of torch and DGL do not survive a fork.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._work, self._threads), daemon=True)
        with _interruptions_held_back():
            process.start()
        theirs.close()
        processes[ours] = process
        return ours


@contextlib.contextmanager
def _interruptions_held_back() -> Iterator[None]:
    """Let a process that begins here never see an interruption, which is the parent's to answer."""
    # It begins with the first process otherwise, and lets interruptions through when it has.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _received(connection: Connection, process: BaseProcess) -> tuple[str, Any]:
    try:
        kind, content = connection.recv()
        return kind, content
    except (EOFError, OSError):
        process.join()
        raise RunError(
            f"a training process ended early, with status {process.exitcode}: "
            "take fewer --jobs where memory is short"
        ) from None


def _serve(connection: Connection, work: Callable[[Any, Report], Any], threads: int) -> None:
    end_with_parent()
    use_threads(threads)

    def report(record: dict[str, Any]) -> None:
        connection.send(("report", record))
        if not connection.recv():
            raise TaskStopped

    # Without the parent at the other end there is nobody left to work for.
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_outcome(work, connection.recv(), report))


def _outcome(work: Callable[[Any, Report], Any], task: Any, report: Report) -> tuple[str, Any]:
    try:
        return "result", work(task, report)
    except TaskStopped:
        return "stopped", None
    except GradformerError as error:
        return "error", error
    except Exception as error:
        return "error", RunError(f"a training process ended early: {error or type(error).__name__}")
