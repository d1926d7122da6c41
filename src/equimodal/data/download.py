"""Downloads: several addresses in order, a mirror first, verified, write-protected."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pooch
from requests.exceptions import RequestException

from equimodal.errors import UserError
from equimodal.files import make_folder

TIMEOUT = 30  # seconds without an answer before the next address is tried


def download(
    folder: Path,
    *,
    name: str,
    files: Mapping[str, str],
    addresses: Sequence[str],
    mirror: str | None,
) -> None:
    """Bring files into `folder`, each verified by its SHA-256 and then write-protected.

    A file that is there already and has its checksum is kept. Otherwise it is looked for below
    `mirror` (a folder or URL that holds a folder `name`), then at each address.

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
    make_folder(folder)
    bases = [*([mirror_address(mirror, name)] if mirror else []), *addresses]
    for file, sha256 in files.items():
        urls = [f"{base.rstrip('/')}/{file}" for base in bases]
        _fetch_one(folder, file, sha256, urls, wanted=f"{name}/{file}")


def mirror_folder(mirror: str | None) -> Path | None:
    """Return the mirror if it is a folder."""
    return None if mirror is None or "://" in mirror else Path(mirror).expanduser()


def mirror_address(mirror: str, name: str) -> str:
    """URL of the folder of a data set below a mirror, which is a folder or a URL."""
    base = mirror if "://" in mirror else Path(mirror).expanduser().resolve().as_uri()
    return f"{base.rstrip('/')}/{name}"


def _fetch_one(folder: Path, file: str, sha256: str, urls: Sequence[str], *, wanted: str) -> None:
    target = folder / file
    failures = []
    for url in urls:
        try:
            pooch.retrieve(
                url,
                known_hash=f"sha256:{sha256}",
                fname=file,
                path=folder,
                downloader=_copy if url.startswith("file://") else _http(),
            )
        except (RequestException, OSError, ValueError) as error:
            failures.append(f"  {url}: {_reason(error)}")
        else:
            target.chmod(0o444)
            return
    raise UserError(
        f"{target} could not be fetched:\n" + "\n".join(failures) + "\nCheck the connection, or set"
        " EQUIMODAL_MIRROR (or mirror in params.yaml) to a folder or URL that holds"
        f" {wanted} with SHA-256 {sha256}."
    )


def _http() -> pooch.HTTPDownloader:
    return pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)


def _copy(url: str, output_file: str, _pooch: object) -> None:
    """Pooch downloader for a mirror that is a folder."""
    from urllib.parse import unquote, urlparse

    Path(output_file).write_bytes(Path(unquote(urlparse(url).path)).read_bytes())


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError) and "hash" in str(error).lower():
        return "what came is truncated or altered: its SHA-256 is not the expected one"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
