"""Raw files by name, whether they lie in a folder, in a zip or in a tar: nothing is unpacked.

A member is read where it lies. Only a compressed tar has to be read from its beginning to its end.
"""

import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from equimodal.errors import UserError

GZIP_SUFFIXES = (".tar.gz", ".tgz")
SUFFIXES = (".zip", ".tar", *GZIP_SUFFIXES)
MEGABYTE = 2**20
LARGEST = 2**30  # bytes of a member that is read: no mesh or image has more
LEVELS = 5  # of folders that are looked through
# What the readers of the standard library raise on damaged bytes, found by damaging some.
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    gzip.BadGzipFile,
    lzma.LZMAError,
    struct.error,
    EOFError,
    LookupError,
    ValueError,
    OverflowError,
)


class Archive(Protocol):
    """What holds the files. It can be sent to another process and read from there."""

    @property
    def path(self) -> Path:
        """The folder or the file."""

    @property
    def files(self) -> list[str]:
        """Paths of the files below `path`, sorted."""

    @property
    def folders(self) -> list[str]:
        """Paths of the folders that are mentioned."""

    @property
    def in_order(self) -> bool:
        """Whether files can be had only one after the other, by `stream`, and not by `read`."""

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            UserError: If it can not be read or is damaged.
        """


def open_archive(path: Path) -> Archive:
    """List what a folder, zip or tar holds.

    Raises:
        UserError: If it can not be read, is truncated or altered, or a member's path climbs out of
            the folder that it would be unpacked to.
    """
    with _readable(path):
        if path.is_dir():
            return _Folder(path, *_walk(path))
        if path.name.endswith(".zip"):
            with zipfile.ZipFile(path) as file:
                names = file.namelist()
            return _Zip(path, *_checked(path, {name: name.endswith("/") for name in names}))
        if path.name.endswith(GZIP_SUFFIXES):
            with gzip.open(path) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
                kinds = {m.name: m.isdir() for m in tar if m.isdir() or m.isreg()}
                while packed.read(MEGABYTE):  # its checksum stands at its end
                    pass
            return _GzipTar(path, *_checked(path, kinds))
        return _open_tar(path)


def stream(archive: Archive, names: set[str]) -> Iterator[tuple[str, bytes]]:
    """Read files in the order in which an archive holds them.

    Raises:
        UserError: If the archive is damaged.
    """
    with _readable(archive.path), tarfile.open(archive.path, "r|gz") as tar:
        for member in tar:
            name = _plain(member.name)
            if name in names and (file := tar.extractfile(member)) is not None:
                require_size(f"{archive.path}: {name}", member.size)
                yield name, file.read()


@dataclass(frozen=True)
class _Listed:
    path: Path
    files: list[str]
    folders: list[str]

    in_order = False


class _Folder(_Listed):
    def read(self, name: str) -> bytes:
        path = self.path / name
        with _readable(path):
            require_size(str(path), path.stat().st_size)
            return path.read_bytes()


class _Zip(_Listed):
    def read(self, name: str) -> bytes:
        with _readable(self.path, name):
            file = _open_zip(self.path, self.path.stat().st_mtime_ns)
            require_size(f"{self.path}: {name}", file.getinfo(name).file_size)
            return file.read(name)


class _GzipTar(_Listed):
    in_order = True

    def read(self, name: str) -> bytes:
        raise NotImplementedError("a compressed tar is read by `stream`")


@dataclass(frozen=True)
class _Tar(_Listed):
    places: dict[str, tuple[int, int]]  # where a file begins, and how long it is

    def read(self, name: str) -> bytes:
        begin, length = self.places[name]
        require_size(f"{self.path}: {name}", length)
        with _readable(self.path, name), self.path.open("rb") as file:
            file.seek(begin)
            content = file.read(length)
        if len(content) < length:
            raise UserError(f"{self.path} is truncated at {name}; get it again")
        return content


@cache
def _open_zip(path: Path, _changed: int) -> zipfile.ZipFile:
    """Open a zip once in a process: to read its list takes long."""
    return zipfile.ZipFile(path)


def _open_tar(path: Path) -> _Tar:
    with tarfile.open(path, "r:") as tar, path.open("rb") as file:
        members = {m.name: m for m in tar if m.isdir() or m.isreg()}
        file.seek(tar.offset)
        end = file.read(tarfile.BLOCKSIZE)
    if end != bytes(tarfile.BLOCKSIZE):  # tarfile stops at anything that is not a header
        raise UserError(f"{path} is truncated or altered at byte {tar.offset}; get it again")
    files, folders = _checked(path, {name: m.isdir() for name, m in members.items()})
    places = {_plain(n): (m.offset_data, m.size) for n, m in members.items() if m.isreg()}
    return _Tar(path, files, folders, places)


def _walk(path: Path) -> tuple[list[str], list[str]]:
    """Files and folders below a folder, links followed, but not what is hidden."""
    files, folders = [], []
    level = [path]
    for _ in range(LEVELS):
        below = [p for folder in level for p in folder.glob("[!.]*")]
        level = [p for p in below if p.is_dir()]
        folders += [p.relative_to(path).as_posix() for p in level]
        files += [p.relative_to(path).as_posix() for p in below if not p.is_dir()]
    return sorted(files), sorted(folders)


def _checked(path: Path, members: dict[str, bool]) -> tuple[list[str], list[str]]:
    """Paths of files and of folders among members, given as path -> whether it is a folder."""
    require_inside(path, members)
    names = {_plain(name): is_folder for name, is_folder in members.items()}
    files = sorted(name for name, is_folder in names.items() if not is_folder)
    return files, sorted(name for name, is_folder in names.items() if is_folder)


def require_inside(archive: Path, names: Iterable[str]) -> None:
    """Raise UserError if a member's path climbs out of the folder that it would be unpacked to."""
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or parts[:1] == ("/",) or ":" in "".join(parts[:1]):
            raise UserError(
                f"{archive} holds {name!r}, a path that climbs out of the archive: it was altered; get"
                " it again"
            )


def require_size(where: str, size: int) -> None:
    """Raise UserError if a file is larger than any that is looked for."""
    if size > LARGEST:
        raise UserError(f"{where} has {size:,} bytes, expected {LARGEST:,} at most")


def _plain(name: str) -> str:
    return name.removeprefix("./").rstrip("/")


@contextmanager
def _readable(path: Path, name: str | None = None) -> Iterator[None]:
    """Turn what goes wrong while reading into a UserError that names file and member."""
    where = f"{path}: {name}" if name else str(path)
    try:
        yield
    except DAMAGE as error:
        raise UserError(f"{where} is truncated or altered ({error}); get it again") from None
    except (NotImplementedError, RuntimeError) as error:  # a zip's method or password
        raise UserError(f"{where} can not be unpacked: {error}") from None
    except OSError as error:
        raise UserError(f"{where} can not be read: {error.strerror or error}") from None
