import functools
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.readers.download import default_folder
from gradformer_dgl.support.errors import DataError

TINY = {
    "A": "1, 2\n2, 1\n",
    "graph_indicator": "1\n1\n2\n",
    "graph_labels": "1\n0\n",
}


def tiny_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for part, text in TINY.items():
            archive.writestr(f"TINY/TINY_{part}.txt", text)
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Sends what the table has for a path: (status, announced length, content)."""

    def __init__(self, table: dict[str, tuple[int, int, bytes]], *args: object) -> None:
        self.table = table
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        status, length, content = self.table.get(self.path, (404, 0, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    whole = tiny_zip()
    table = {
        "/TINY.zip": (200, len(whole), whole),
        "/HALF.zip": (200, len(whole), whole[: len(whole) // 2]),
        "/PAGE.zip": (200, 11, b"<p>no</p>\n\n"),
        "/BUSY.zip": (503, 0, b""),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, table))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{{name}}.zip"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mirror(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GRADFORMER_DGL_TU_URL", url)
    return url


def test_what_is_missing_is_downloaded_once(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "not" / "there"
    assert load_dataset("TINY", root).graphs.node_counts.tolist() == [2, 1]
    assert [path.name for path in (root / "TINY").iterdir()] == ["TINY.zip"]
    monkeypatch.setenv("GRADFORMER_DGL_TU_URL", "http://127.0.0.1:1/{name}.zip")
    assert len(load_dataset("TINY", root)) == 2


def test_without_a_folder_the_usual_one_is_used(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert len(load_dataset("TINY")) == 2
    assert (tmp_path / "gradformer_dgl" / "TINY" / "TINY.zip").is_file()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "gradformer_dgl"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("PAGE", "sent is not a zip file; get it by hand and put it at"),
        ("HALF", "broke off after|cannot download"),
        ("BUSY", "answers 503 Service Unavailable; get it by hand"),
        ("NOWHERE", "there is no data set 'NOWHERE'; choose one of NCI1, PROTEINS"),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_nothing(
    mirror: str, tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(name, tmp_path)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADFORMER_DGL_TU_URL", "http://127.0.0.1:1/{name}.zip")
    with pytest.raises(DataError, match=r"cannot download http.*ENZYMES.zip \(.*refused.*\); get it by hand"):
        load_dataset("enzymes", tmp_path)


def test_a_folder_that_cannot_be_made(mirror: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write to .*file/TINY .*; choose another data folder"):
        load_dataset("TINY", tmp_path / "file")


def test_a_mistyped_data_folder_is_not_made_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADFORMER_DGL_TU_URL", "no address of {name}")
    with pytest.raises(DataError, match=r"cannot download no address of MUTAG .*; get it by hand"):
        load_dataset("MUTAG", tmp_path / "dta")
    assert not (tmp_path / "dta").exists()
