import dataclasses
import os
import signal
import time

import numpy as np
import pytest

from gradformer_dgl.preprocess import GraphStructures, preprocess_graphs, tasks
from gradformer_dgl.preprocess.parallel import Engine
from gradformer_dgl.support.errors import ConfigError, GradformerError, GraphError


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(tasks, "PART_BYTES", 1 << 12)


@pytest.fixture(scope="module")
def graphs():
    """Structures in pieces."""
    rng = np.random.default_rng(5)
    pieces = []
    for _ in range(12):
        node_counts = rng.integers(0, 40, 31)
        bound = np.repeat(np.maximum(node_counts, 1), 2 * node_counts)
        pieces.append(
            GraphStructures(node_counts, 2 * node_counts, rng.integers(0, bound), rng.integers(0, bound))
        )
    return pieces


@pytest.fixture
def expected(graphs, tmp_path):
    return preprocess_graphs(graphs, tmp_path / "one.h5", n_jobs=1, encodings=("rwse:4",)).path.read_bytes()


def assert_same_file(graphs, path, expected, **options):
    cache = preprocess_graphs(graphs, path, encodings=("rwse:4",), **options)
    assert cache.path.read_bytes() == expected
    assert sorted(file.name for file in path.parent.iterdir()) == ["one.h5", path.name]


def test_processes_make_the_same_file_as_one_thread(graphs, tmp_path, expected):
    assert_same_file(graphs, tmp_path / "x.h5", expected, n_jobs=2, backend="loky")


def test_a_dask_cluster_makes_the_same_file(graphs, tmp_path, expected):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        assert len(cluster.workers) == 2
        scheduler = cluster.scheduler_address
        assert_same_file(graphs, tmp_path / "x.h5", expected, backend="dask", scheduler=scheduler)


def test_a_ray_cluster_makes_the_same_file(graphs, tmp_path, expected, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    try:
        assert_same_file(graphs, tmp_path / "x.h5", expected, n_jobs=2, backend="ray")
    finally:
        ray.shutdown()


def test_no_scheduler_at_the_address(graphs, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    from gradformer_dgl.preprocess import parallel

    monkeypatch.setattr(parallel, "SECONDS_TO_CONNECT", 1)
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at tcp:.*: start one with"):
        preprocess_graphs(graphs, tmp_path / "x.h5", backend="dask", scheduler="tcp://127.0.0.1:1")


@dataclasses.dataclass(frozen=True)
class Numbered:
    number: int


def test_the_task_of_a_worker_that_dies_is_given_to_another(tmp_path):
    def dies_once(task):
        marker = tmp_path / str(task.number)
        if task.number % 4 == 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return task

    drawn = (Numbered(number) for number in range(9))
    results = list(Engine(2, "loky").run(dies_once, drawn))
    assert {result.number for result in results} == set(range(9))


def test_workers_that_keep_dying_are_an_error():
    def dies(task):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(GradformerError, match="worker processes died 4 times in a row"):
        list(Engine(2, "loky").run(dies, [Numbered(0)]))


@pytest.mark.parametrize(("n_jobs", "backend"), [(1, "threading"), (2, "threading"), (2, "loky")])
def test_an_error_in_the_stream_of_graphs_is_raised_and_keeps_what_is_finished(
    graphs, tmp_path, n_jobs, backend
):
    def broken():
        yield from graphs[:6]
        raise GraphError("graph 186 is broken")

    options = {"n_jobs": n_jobs, "backend": backend}
    with pytest.raises(GraphError, match="graph 186 is broken"):
        preprocess_graphs(broken(), tmp_path / "x.h5", **options)
    assert [file.name for file in tmp_path.iterdir()] == ["x.h5.parts"]
    assert len(preprocess_graphs(iter(graphs), tmp_path / "x.h5", **options)) == 12 * 31


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "spark"}, "no backend 'spark': there are threading, loky, dask, ray"),
        ({"scheduler": "tcp://x:1"}, "a scheduler goes with the backend dask or ray, not with threading"),
        ({"n_jobs": True}, "n_jobs must be a number of workers"),
    ],
)
def test_bad_options(graphs, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        preprocess_graphs(graphs, tmp_path / "x.h5", **options)


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_nothing_runs_once_the_results_are_closed(n_jobs, recwarn):
    begun, ended, drawn = [], [], []

    def slow(task):
        begun.append(task.number)
        time.sleep(0.05)
        ended.append(task.number)
        return task

    def tasks():
        for number in range(100):
            drawn.append(number)
            yield Numbered(number)

    results = Engine(n_jobs).run(slow, tasks())
    next(results)
    results.close()
    done = len(begun), len(drawn)
    assert sorted(begun) == sorted(ended)
    time.sleep(0.2)
    assert (len(begun), len(drawn)) == done
    assert len(drawn) < 20
    assert not recwarn.list


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interruption_of_the_stream_of_graphs_is_raised(n_jobs):
    def interrupted():
        yield from map(Numbered, range(10))
        raise KeyboardInterrupt

    results = []
    with pytest.raises(KeyboardInterrupt):
        results.extend(Engine(n_jobs).run(lambda task: task, interrupted()))
