import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def call(tmp_path):
    """Return a function that calls a compiled function in a new process and tells what happened."""
    (tmp_path / "kernel.py").write_text(
        textwrap.dedent(
            """
            from gradformer_dgl.jit.compile import jit, is_kept_on_disk

            @jit
            def triple(x):
                return 3 * x

            print(triple(7), is_kept_on_disk(triple), sum(triple.stats.cache_hits.values()))
            """
        )
    )
    (tmp_path / "kept").mkdir()

    def run(folder="kept", **limits):
        code = f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); import kernel"
        if "file_size" in limits:
            code = f"import resource; resource.setrlimit(1, ({limits['file_size']},) * 2); {code}"
        return subprocess.run(
            [sys.executable, "-c", code],
            env={"NUMBA_CACHE_DIR": str(tmp_path / folder), "PATH": "/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()

    run.kept = tmp_path / "kept"
    return run


def test_the_second_process_does_not_compile(call):
    assert call() == ["21", "True", "0"]
    assert call() == ["21", "True", "1"]


def test_a_broken_file_costs_a_compilation(call):
    call()
    for pattern in ("*.nbc", "*.nbi"):
        for file in call.kept.rglob(pattern):
            file.write_bytes(file.read_bytes()[:30])
        assert call() == ["21", "True", "0"]


def test_a_full_disk_costs_a_compilation(call):
    assert call(file_size=50) == ["21", "True", "0"]


def test_no_place_at_all(monkeypatch):
    from numba.core import caching

    from gradformer_dgl.jit.compile import is_kept_on_disk, jit

    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])
    function = jit(lambda x: x + 1)
    assert not is_kept_on_disk(function)
    assert function(4) == 5
