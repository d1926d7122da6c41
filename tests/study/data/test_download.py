import hashlib
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from equimodal.study.data import download as download_module
from equimodal.study.data.download import Published, download
from equimodal.study.errors import UserError

CONTENT = b"real digits"
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOBODY = "http://127.0.0.1:9"  # the port of the discard service: nothing listens


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Handler(SimpleHTTPRequestHandler):
    """Serves files, from the byte that is asked for if `resumes`, and no more than `breaks_after`."""

    def log_message(self, *_):
        self.server.asked.append(self.path)

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        begin = self.headers["Range"] if self.server.resumes else None
        self.server.ranges.append(self.headers["Range"])
        begins = int(begin.removeprefix("bytes=").removesuffix("-")) if begin else 0
        if not path.is_file() or begins >= path.stat().st_size > 0:
            self.send_error(416 if path.is_file() else 404)
            return
        content = path.read_bytes()[begins:]
        self.send_response(206 if begin else 200)
        if self.server.endless:
            self.end_headers()
            with suppress(ConnectionError):
                while self.server.written < 10**9:
                    self.wfile.write(content)
                    self.server.written += len(content)
            return
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(content[: self.server.breaks_after])


@pytest.fixture
def server(tmp_path):
    """A web server on this machine; `asked` and `ranges` list what it was asked for."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    server.asked, server.ranges = [], []
    server.resumes, server.breaks_after = True, None
    server.endless, server.written = False, 0
    server.folder = folder
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def put(folder, content=CONTENT):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "digits.gz").write_bytes(content)


def get(tmp_path, *addresses, mirror=None):
    """Fetch `digits.gz` and return where it should be."""
    folder = tmp_path / "raw"
    files = {"digits.gz": Published(SHA256, SIZE)}
    download(folder, name="mnist", files=files, addresses=addresses, mirror=mirror)
    return folder / "digits.gz"


@pytest.mark.parametrize("form", [str, Path.as_uri])
def test_a_folder_can_be_the_mirror(tmp_path, form):
    put(tmp_path / "my mirror/mnist")
    assert get(tmp_path, NOBODY, mirror=form(tmp_path / "my mirror")).read_bytes() == CONTENT


def test_addresses_are_tried_in_order_and_the_mirror_first(tmp_path, server):
    put(server.folder / "second")
    put(server.folder / "third")
    addresses = [f"{server.address}/{name}" for name in ("first", "second", "third")]
    assert get(tmp_path, *addresses, mirror=f"{server.address}/").read_bytes() == CONTENT
    asked = ["/mnist/digits.gz", "/first/digits.gz", "/second/digits.gz"]
    assert list(dict.fromkeys(server.asked)) == asked


def test_a_file_that_is_right_is_kept_and_an_altered_one_fetched_and_write_protected(tmp_path):
    put(tmp_path / "mirror/mnist")
    put(tmp_path / "raw", b"fake digits")
    (tmp_path / "raw/digits.gz").chmod(0o444)
    fetched = get(tmp_path, mirror=str(tmp_path / "mirror")).stat()
    assert fetched.st_mode & 0o222 == 0
    kept = get(tmp_path, NOBODY).stat()
    assert (kept.st_ino, kept.st_mtime_ns) == (fetched.st_ino, fetched.st_mtime_ns)


@pytest.mark.parametrize(
    "content", [b"fake digits", CONTENT[:-1], b""], ids=["altered", "truncated", "empty"]
)
@pytest.mark.parametrize("kind", ["folder", "url"])
def test_what_is_not_the_expected_file_is_refused(tmp_path, server, kind, content):
    put(server.folder / "mnist", content)
    mirror = str(server.folder) if kind == "folder" else server.address
    with pytest.raises(UserError, match=r"truncated or altered: its SHA-256 is not the expected"):
        get(tmp_path, mirror=mirror)
    assert not list((tmp_path / "raw").iterdir())


def test_unreachable_addresses_give_one_message_with_all_of_them_and_the_way_out(tmp_path):
    addresses = [f"{NOBODY}/first", f"{NOBODY}/second"]
    with pytest.raises(UserError) as raised:
        get(tmp_path, *addresses, mirror=str(tmp_path / "nowhere"))
    for said in (
        f"{tmp_path}/raw/digits.gz could not be fetched",
        f"  {(tmp_path / 'nowhere/mnist').as_uri()}/digits.gz: no such file",
        *(f"  {address}/digits.gz: " for address in addresses),
        "set EQUIMODAL_MIRROR (or mirror in params.yaml)",
        f"holds mnist/digits.gz with SHA-256 {SHA256}",
    ):
        assert said in str(raised.value)


@pytest.mark.parametrize("resumes", [True, False])
def test_a_download_that_broke_off_goes_on_where_it_was(tmp_path, server, resumes, monkeypatch):
    monkeypatch.setattr(download_module, "PIECE", 2)
    put(server.folder / "mnist")
    server.resumes, server.breaks_after = resumes, 4
    with pytest.raises(UserError, match=r"Run again to go on where the download broke off"):
        get(tmp_path, mirror=server.address)
    assert not (tmp_path / "raw/digits.gz").exists()
    server.breaks_after = None
    assert get(tmp_path, mirror=server.address).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=4-"]
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["digits.gz"]


@pytest.mark.parametrize("breaks_after", [4, None])
def test_a_mirror_with_wrong_bytes_does_not_spoil_the_good_address(
    tmp_path, server, monkeypatch, breaks_after
):
    monkeypatch.setattr(download_module, "PIECE", 2)
    put(server.folder / "public")
    put(server.folder / "mnist", b"fake digits")
    respond = Handler.do_GET

    def break_off(handler):
        handler.server.breaks_after = breaks_after if "mnist" in handler.path else None
        respond(handler)

    monkeypatch.setattr(Handler, "do_GET", break_off)
    got = get(tmp_path, f"{server.address}/public", mirror=server.address)
    assert got.read_bytes() == CONTENT


@pytest.mark.parametrize("came", [CONTENT, b"fake digits", b"rea? ", CONTENT + b"!", b""])
def test_what_came_before_is_verified_and_does_not_spoil_what_comes(tmp_path, server, came):
    put(server.folder / "mnist")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/.digits.gz.part").write_bytes(came)
    assert get(tmp_path, mirror=server.address).read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["digits.gz"]


@pytest.mark.parametrize("endless", [True, False])
def test_no_more_is_written_than_the_file_has(tmp_path, server, endless):
    put(server.folder / "mnist", CONTENT * 10**5)
    put(tmp_path / "mirror/mnist", CONTENT * 2)
    server.endless = endless
    for mirror in (server.address, str(tmp_path / "mirror")):
        with pytest.raises(
            UserError, match=r"it has [\d,]+ bytes or more, expected 11: it is another"
        ):
            get(tmp_path, mirror=mirror)
        assert not list((tmp_path / "raw").iterdir())
    assert server.written < 10**8
