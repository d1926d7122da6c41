"""Downloads: several addresses in order, a mirror first, resumed, verified, write-protected."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlparse

from equimodal.study.errors import UserError, first_line
from equimodal.study.files import make_folder, write_aside, writing
from equimodal.study.progress import show_progress
from equimodal.study.receipts import sha256

TIMEOUT = 30  # seconds without an answer before the next address is tried
MEGABYTE = 2**20
PIECE = 2**16  # bytes that are written at once, the most that is lost when a download breaks off
PAST_THE_END = 416  # what a server answers if all it has is there already


class Published(NamedTuple):
    """What is known of a file before it comes."""

    sha256: str
    size: int  # bytes


def download(
    folder: Path,
    *,
    name: str,
    files: Mapping[str, Published],
    addresses: Sequence[str],
    mirror: str | None,
) -> None:
    """Bring files into `folder`, each verified by its SHA-256 and then write-protected.

    A file that is there already and has its checksum is kept as it is. A download that broke off goes on
    where it was, at the next address or in the next run; if what came before turns out to be wrong, it
    comes again from the beginning. No more is written than the file has.

    `addresses` are URLs of folders that hold the files, best first. Before them a mirror is tried, a folder or a URL, in
    which they lie below `name`. UserError if a file can not be had anywhere: names each address with what went wrong.
    """
    if mirror:
        there = mirror_folder(mirror)
        base = mirror.rstrip("/") if there is None else there.resolve().as_uri()
        addresses = [f"{base}/{name}", *addresses]
    for file, wanted in files.items():
        target = folder / file
        if not (target.is_file() and _has(target, wanted)):
            make_folder(folder)
            _fetch_one(target, wanted, [f"{address}/{file}" for address in addresses], name)


def mirror_folder(mirror: str | None) -> Path | None:
    """Return the mirror if it is a folder."""
    return None if mirror is None or "://" in mirror else Path(mirror).expanduser()


def link(folder: Path, given: Path) -> None:
    """Link what a mirror holds into `folder`, where there is no checksum to verify it by."""
    print(f"{given} is taken as it is: it has no published checksum", file=sys.stderr)
    with write_aside(folder / given.name) as aside:
        aside.symlink_to(given.resolve())


def _fetch_one(target: Path, wanted: Published, urls: Sequence[str], name: str) -> None:
    import requests

    part = target.with_name(f".{target.name}.part")
    failures = []
    for url in urls:
        try:
            resumed = part.exists()
            _bring(url, part, wanted.size)
            if resumed and not _has(part, wanted):  # what came before was of another file
                part.unlink()
                _bring(url, part, wanted.size)
            if not _has(part, wanted):
                part.unlink()
                raise ValueError("truncated or altered: its SHA-256 is not the expected one")
        except (requests.RequestException, OSError, ValueError) as error:
            said = isinstance(error, ValueError) and not isinstance(
                error, requests.RequestException
            )
            why = str(error) if said else f"{type(error).__name__}: {first_line(error)}"
            failures.append(f"  {url}: {why[:400]}")
            continue
        with writing(target, "check the permissions of its folder"):
            part.chmod(0o444)
            os.replace(part, target)
        return
    kept = " Run again to go on where the download broke off." if part.exists() else ""
    raise UserError(
        f"{target} could not be fetched:\n" + "\n".join(failures) + "\nCheck the connection, or set"
        " EQUIMODAL_MIRROR (or mirror in params.yaml) to a folder or URL that holds"
        f" {name}/{target.name} with SHA-256 {wanted.sha256}.{kept}"
    )


def _bring(url: str, part: Path, size: int) -> None:
    """Write what an address has to a part file, or the rest of it if some is there.

    Raises:
        ValueError: If it is larger than `size`; then nothing is kept.
    """
    import requests

    if url.startswith("file://"):
        path = Path(unquote(urlparse(url).path))
        if not path.is_file():
            raise ValueError("it is no file" if path.exists() else "no such file")
        with path.open("rb") as file:
            _append(iter(lambda: file.read(PIECE), b""), part, 0, size)
        return
    there = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == PAST_THE_END:
            return
        response.raise_for_status()
        resumes = response.status_code == 206
        _append(response.iter_content(PIECE), part, there if resumes else 0, size)


def _append(pieces: Iterable[bytes], part: Path, there: int, size: int) -> None:
    """Write what comes behind the first `there` bytes of a part file; from the beginning if 0."""
    name = part.name.removeprefix(".").removesuffix(".part")
    with (
        part.open("ab" if there else "wb") as file,
        show_progress(f"{name}, MB", size // MEGABYTE) as show,
    ):
        for piece in pieces:
            if (found := file.tell() + len(piece)) > size:
                part.unlink()
                raise ValueError(
                    f"it has {found:,} bytes or more, expected {size:,}: it is another file"
                )
            file.write(piece)
            show(found // MEGABYTE)


def _has(path: Path, wanted: Published) -> bool:
    return path.stat().st_size == wanted.size and sha256(path) == wanted.sha256
