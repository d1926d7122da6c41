"""Raw files by name, whether they lie in a folder, in a zip or in a tar: nothing is unpacked."""

import gzip
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, cast

from equimodal.study.errors import UserError
from equimodal.study.files import reading

GZIP_SUFFIXES = (".tar.gz", ".tgz")
SUFFIXES = (".zip", ".tar", *GZIP_SUFFIXES)
MEGABYTE = 2**20
LARGEST = 2**30  # bytes of a file that is read: no mesh or image has more
LEVELS = 5  # of folders that are looked through


class _Member(NamedTuple):
    name: str
    size: int
    read: Callable[[], bytes]


def list_files(path: Path) -> list[str]:
    """Paths of all files below a folder, or in a zip or tar, sorted; none that systems leave behind, such as ._x.

    Raises:
        UserError: If it can not be read, is truncated or altered, or a member's path climbs out of
            the folder that it would be unpacked to.
    """
    with _reading(path):
        files = sorted(_below(path) if path.is_dir() else (m.name for m in _members(path)))
    for name in files:
        first, *others = name.replace("\\", "/").split("/")
        if not first or ":" in first or ".." in (first, *others):
            raise UserError(
                f"{path} holds {name!r}, a path that climbs out of the archive: it was altered; get it again"
            )
    return [n for n in files if not any(p.startswith((".", "__MACOSX")) for p in n.split("/"))]


def read_archive(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Read files of a zip or tar, in the order in which they lie there.

    Raises:
        UserError: If the archive is damaged, or a file has more than LARGEST bytes.
    """
    with _reading(path):
        for member in _members(path):
            if member.name in names:
                with _reading(f"{path}: {member.name}"):
                    _require_size(member.size)
                    content = member.read()
                yield member.name, content


def read_file(path: Path) -> bytes:
    """Read a file of a folder; raises as `read_archive`."""
    with _reading(path):
        _require_size(path.stat().st_size)
        return path.read_bytes()


def _reading(where: Path | str) -> AbstractContextManager[None]:
    return reading(where, "a whole file", "get it")


def _require_size(size: int) -> None:
    if size > LARGEST:
        raise ValueError(f"it has {size:,} bytes, expected {LARGEST:,} at most")


def _members(path: Path) -> Iterator[_Member]:
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as file:
            for i in file.infolist():
                if not i.is_dir():
                    yield _Member(i.filename.removeprefix("./"), i.file_size, partial(file.read, i))
    elif path.name.endswith(GZIP_SUFFIXES):
        with gzip.open(path) as packed:
            with tarfile.open(fileobj=packed, mode="r|") as tar:
                yield from _of_tar(tar)
            while packed.read(MEGABYTE):  # its checksum stands at its end
                pass
    else:
        with tarfile.open(path, "r:") as tar, path.open("rb") as plain:
            yield from _of_tar(tar)
            plain.seek(tar.offset)
            if plain.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                # tarfile stops at anything that is not a header
                raise ValueError(f"truncated or altered at byte {tar.offset}")


def _of_tar(tar: tarfile.TarFile) -> Iterator[_Member]:
    for member in tar:
        if member.isreg():
            name = member.name.removeprefix("./")
            yield _Member(name, member.size, partial(_read, tar, member))


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    return cast(IO[bytes], tar.extractfile(member)).read()  # None for what is no regular file


def _below(top: Path) -> Iterator[str]:
    """Files below a folder, links followed, but not what is hidden."""
    level = [top]
    for _ in range(LEVELS):
        below = [path for folder in level for path in folder.glob("[!.]*")]
        level = [path for path in below if path.is_dir()]
        yield from (path.relative_to(top).as_posix() for path in below if not path.is_dir())
