"""Raw files by name, whether they lie in a folder, in a zip or in a tar: nothing is unpacked."""

import gzip
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from equimodal.study.errors import UserError
from equimodal.study.files import reading

GZIP_SUFFIXES = (".tar.gz", ".tgz")
SUFFIXES = (".zip", ".tar", *GZIP_SUFFIXES)
MEGABYTE = 2**20
LARGEST = 2**30  # bytes of a file that is read: no mesh or image has more
LEVELS = 5  # of folders that are looked through


class Archive(NamedTuple):
    """What holds the files."""

    path: Path  # of a folder or a file
    files: list[str]  # paths below it, sorted
    folders: list[str]  # those that are mentioned


class _Member(NamedTuple):
    name: str
    is_folder: bool
    size: int
    read: Callable[[], bytes]


def open_archive(path: Path) -> Archive:
    """List what a folder, zip or tar holds.

    Raises:
        UserError: If it can not be read, is truncated or altered, or a member's path climbs out of
            the folder that it would be unpacked to.
    """
    with _reading(path):
        kinds = {m.name: m.is_folder for m in (_walk(path) if path.is_dir() else _members(path))}
    require_inside(path, kinds)
    plain = sorted((_plain(name), is_folder) for name, is_folder in kinds.items())
    return Archive(path, [n for n, f in plain if not f], [n for n, f in plain if f])


def read_archive(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Read files of a zip or tar, in the order in which they lie there.

    Raises:
        UserError: If the archive is damaged, or a file has more than LARGEST bytes.
    """
    with _reading(path):
        for member in _members(path):
            if (name := _plain(member.name)) in names:
                with _reading(f"{path}: {name}"):
                    _require_size(member.size)
                    content = member.read()
                yield name, content


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
                yield _Member(i.filename, i.is_dir(), i.file_size, partial(file.read, i))
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
        if member.isdir() or member.isreg():
            yield _Member(member.name, member.isdir(), member.size, partial(_read, tar, member))


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    return cast(IO[bytes], tar.extractfile(member)).read()  # None for what is no regular file


def _walk(top: Path) -> Iterator[_Member]:
    """Files and folders below a folder, links followed, but not what is hidden."""
    level = [top]
    for _ in range(LEVELS):
        below = [path for folder in level for path in folder.glob("[!.]*")]
        level = [path for path in below if path.is_dir()]
        for path in below:
            yield _Member(path.relative_to(top).as_posix(), path.is_dir(), 0, path.read_bytes)


def require_inside(archive: Path, names: Iterable[str]) -> None:
    """Raise UserError if a member's path climbs out of the folder that it would be unpacked to."""
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or parts[:1] == ("/",) or ":" in "".join(parts[:1]):
            raise UserError(
                f"{archive} holds {name!r}, a path that climbs out of the archive: it was altered; get"
                " it again"
            )


def _plain(name: str) -> str:
    return name.removeprefix("./").rstrip("/")
