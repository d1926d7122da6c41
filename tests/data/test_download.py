import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from equimodal.data.download import download
from equimodal.errors import UserError

CONTENT = b"real digits"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOBODY = "http://127.0.0.1:9"  # the port of the discard service: nothing listens


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        self.server.asked.append(self.path)


@pytest.fixture
def server(tmp_path):
    """A web server on this machine; `asked` lists the paths that it was asked for."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    server.asked = []
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
    download(folder, name="mnist", files={"digits.gz": SHA256}, addresses=addresses, mirror=mirror)
    return folder / "digits.gz"


def test_a_folder_can_be_the_mirror(tmp_path):
    put(tmp_path / "my mirror/mnist")
    assert get(tmp_path, NOBODY, mirror=str(tmp_path / "my mirror")).read_bytes() == CONTENT


def test_the_folder_may_be_named_as_a_url(tmp_path):
    put(tmp_path / "mirror/mnist")
    assert get(tmp_path, NOBODY, mirror=(tmp_path / "mirror").as_uri()).read_bytes() == CONTENT


def test_a_url_can_be_the_mirror_and_is_tried_first(tmp_path, server):
    put(server.folder / "mnist")
    put(server.folder / "public")
    got = get(tmp_path, f"{server.address}/public", mirror=f"{server.address}/")
    assert got.read_bytes() == CONTENT
    assert server.asked == ["/mnist/digits.gz"]


def test_addresses_are_tried_in_order_until_one_has_the_file(tmp_path, server):
    put(server.folder / "second")
    put(server.folder / "third")
    addresses = [f"{server.address}/{name}" for name in ("first", "second", "third")]
    assert get(tmp_path, *addresses).read_bytes() == CONTENT
    assert list(dict.fromkeys(server.asked)) == ["/first/digits.gz", "/second/digits.gz"]


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


def test_after_an_altered_file_the_next_address_is_tried(tmp_path, server):
    put(server.folder / "mnist", b"fake digits")
    put(server.folder / "public")
    got = get(tmp_path, f"{server.address}/public", mirror=server.address)
    assert got.read_bytes() == CONTENT


def test_unreachable_addresses_give_one_message_with_all_of_them_and_the_way_out(tmp_path):
    addresses = [f"{NOBODY}/first", f"{NOBODY}/second"]
    with pytest.raises(UserError) as raised:
        get(tmp_path, *addresses, mirror=str(tmp_path / "nowhere"))
    message = str(raised.value)
    assert f"{tmp_path}/raw/digits.gz could not be fetched" in message
    for address in [(tmp_path / "nowhere/mnist").as_uri(), *addresses]:
        assert f"  {address}/digits.gz: " in message
    assert "nowhere/mnist/digits.gz: no such file" in message
    assert "set EQUIMODAL_MIRROR (or mirror in params.yaml)" in message
    assert f"holds mnist/digits.gz with SHA-256 {SHA256}" in message


def test_the_way_out_names_the_file_as_a_mirror_must_hold_it(tmp_path):
    with pytest.raises(UserError, match=r"holds mnist/digits\.gz"):
        get(tmp_path, f"{NOBODY}/other-name")


def test_a_file_that_is_there_and_right_is_kept(tmp_path):
    put(tmp_path / "raw")
    before = (tmp_path / "raw/digits.gz").stat()
    after = get(tmp_path, NOBODY).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_is_there_and_altered_is_fetched_again(tmp_path):
    put(tmp_path / "mirror/mnist")
    put(tmp_path / "raw", b"fake digits")
    (tmp_path / "raw/digits.gz").chmod(0o444)
    assert get(tmp_path, mirror=str(tmp_path / "mirror")).read_bytes() == CONTENT


def test_what_was_fetched_can_not_be_overwritten_by_accident(tmp_path):
    put(tmp_path / "mirror/mnist")
    assert get(tmp_path, mirror=str(tmp_path / "mirror")).stat().st_mode & 0o222 == 0


def test_a_folder_that_can_not_be_made_is_the_trouble_that_is_named(tmp_path):
    put(tmp_path / "mirror/mnist")
    (tmp_path / "raw").write_text("A file where the folder should be.")
    with pytest.raises(UserError, match=r"raw.* can not be written|raw is a file"):
        get(tmp_path, mirror=str(tmp_path / "mirror"))
