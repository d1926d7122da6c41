"""Downloads: several addresses in order, a mirror first, resumed, verified, write-protected."""

import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlparse

import pooch
import requests

from equimodal.errors import UserError
from equimodal.files import make_folder, write_aside
from equimodal.progress import show_progress

TIMEOUT = 30  # seconds without an answer before the next address is tried
MEGABYTE = 2**20
PIECE = 2**16  # bytes that are written at once, the most that is lost when a download breaks off
PAST_THE_END = 416  # what a server answers if all it has is there already


def download(
    folder: Path,
    *,
    name: str,
    files: Mapping[str, str],
    addresses: Sequence[str],
    mirror: str | None,
) -> None:
    """Bring files into `folder`, each verified by its SHA-256 and then write-protected.

    A file that is there already and has its checksum is kept as it is. Otherwise it is looked for
    below `mirror` (a folder or URL that holds a folder `name`), then at each address. A download
    that broke off goes on where it was, at the next address or in the next run.

    Args:
        folder: Where the files go; made if missing.
        name: Folder of the data set below a mirror, such as `mnist`.
        files: File name -> SHA-256.
        addresses: URLs of folders that hold the files, best first.
        mirror: Tried before the addresses, or None.

    Raises:
        UserError: If a file can not be had anywhere; names each address with what went wrong.
    """
    pooch.get_logger().setLevel(logging.WARNING)
    bases = [*([mirror_address(mirror, name)] if mirror else []), *addresses]
    for file, sha256 in files.items():
        if (folder / file).is_file() and pooch.file_hash(folder / file) == sha256:
            continue
        make_folder(folder)
        urls = [f"{base.rstrip('/')}/{file}" for base in bases]
        _fetch_one(folder, file, sha256, urls, wanted=f"{name}/{file}")


def mirror_folder(mirror: str | None) -> Path | None:
    """Return the mirror if it is a folder."""
    return None if mirror is None or "://" in mirror else Path(mirror).expanduser()


def mirror_address(mirror: str, name: str) -> str:
    """URL of the folder of a data set below a mirror, which is a folder or a URL."""
    base = mirror if "://" in mirror else Path(mirror).expanduser().resolve().as_uri()
    return f"{base.rstrip('/')}/{name}"


def link(folder: Path, given: Path) -> None:
    """Link what a mirror holds into `folder`, where there is no checksum to verify it by."""
    print(f"{given} is taken as it is: it has no published checksum", file=sys.stderr)
    with write_aside(folder / given.name) as aside:
        aside.symlink_to(given.resolve())


def _fetch_one(folder: Path, file: str, sha256: str, urls: Sequence[str], *, wanted: str) -> None:
    target, part = folder / file, folder / f".{file}.part"
    failures = []
    for url in urls:
        try:
            pooch.retrieve(
                url,
                known_hash=f"sha256:{sha256}",
                fname=file,
                path=folder,
                downloader=_copy if url.startswith("file://") else _resume(part),
            )
        except (requests.RequestException, OSError, ValueError) as error:
            failures.append(f"  {url}: {_reason(error)}")
        else:
            target.chmod(0o444)
            part.unlink(missing_ok=True)
            return
    kept = " Run again to go on where the download broke off." if part.exists() else ""
    raise UserError(
        f"{target} could not be fetched:\n" + "\n".join(failures) + "\nCheck the connection, or set"
        " EQUIMODAL_MIRROR (or mirror in params.yaml) to a folder or URL that holds"
        f" {wanted} with SHA-256 {sha256}.{kept}"
    )


def _resume(part: Path) -> Callable[[str, str, object], None]:
    """Pooch downloader that keeps in `part` what has come, and asks for the rest alone."""

    def get(url: str, output_file: str, _pooch: object) -> None:
        there = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code != PAST_THE_END:
                response.raise_for_status()
                _append(response, part, there if response.status_code == 206 else 0)
        os.replace(part, output_file)

    return get


def _append(response: requests.Response, part: Path, there: int) -> None:
    """Write what comes behind the first `there` bytes of a part file; from the beginning if 0."""
    total = there + int(response.headers.get("Content-Length", 0))
    name = part.name.removeprefix(".").removesuffix(".part")
    with (
        part.open("ab" if there else "wb") as file,
        show_progress(f"{name}, MB", total // MEGABYTE) as show,
    ):
        for piece in response.iter_content(PIECE):
            file.write(piece)
            show(file.tell() // MEGABYTE)


def _copy(url: str, output_file: str, _pooch: object) -> None:
    """Pooch downloader for a mirror that is a folder."""
    shutil.copyfile(unquote(urlparse(url).path), output_file)


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError) and "hash" in str(error).lower():
        return "what came is truncated or altered: its SHA-256 is not the expected one"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"{type(error).__name__}: {str(error)[:200].partition(chr(10))[0]}"
