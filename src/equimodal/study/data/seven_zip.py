"""7z archives, whole or in parts (`.7z.001` and on), unpacked by py7zr."""

import io
import re
import shutil
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from itertools import accumulate, pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from equimodal.study.data.archive import MEGABYTE, require_inside
from equimodal.study.data.jobs import some
from equimodal.study.errors import UserError, first_line
from equimodal.study.files import make_folder
from equimodal.study.progress import show_progress

if TYPE_CHECKING:
    from py7zr import FileInfo

MAGIC = b"7z\xbc\xaf\x27\x1c"
HEADER = 32  # bytes before what is packed
AHEAD = 2**16  # bytes that are read at once

_NAME = re.compile(r"(.+\.7z)(?:\.([0-9]{3,5}))?", re.IGNORECASE)


def find_parts(folder: Path) -> list[Path]:
    """The parts of the archive in a folder, in order; one if it is whole, none if there is none.

    Raises:
        UserError: If parts are missing before the last one, or there is more than one archive.
    """
    archives: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.glob("[!.]*")):
        if (match := _NAME.fullmatch(path.name)) and path.is_file():
            name = f"{match[1]}.001" if match[2] else match[1]
            archives.setdefault(name, {})[int(match[2] or 1)] = path
    if len(archives) > 1:
        raise UserError(f"{folder} holds {' and '.join(archives)}; move all archives but one away")
    for name, parts in archives.items():
        if missing := sorted(set(range(1, max(parts) + 1)) - set(parts)):
            names = some([f"{name[:-3]}{number:03}" for number in missing])
            raise UserError(
                f"{folder} lacks parts of an archive of {max(parts)} or more; put them there:\n{names}"
            )
    return [part for parts in archives.values() for _, part in sorted(parts.items())]


def unpack(parts: Sequence[Path], folder: Path, wanted: Sequence[str]) -> None:
    """Unpack files from an archive into a folder; what is there already may be overwritten.

    Args:
        parts: All parts, in order.
        folder: Made if missing.
        wanted: Patterns of file names, such as `*.txt`, that are unpacked, from whatever folder of
            the archive. Links are not.

    Raises:
        UserError: If a part is damaged, truncated or missing, a path climbs out of the archive, the
            disk is full, or nothing that unpacks is installed.
    """
    try:
        import py7zr
        from py7zr.exceptions import PasswordRequired, UnsupportedCompressionMethodError
    except ImportError:
        raise UserError(
            f"{parts[0]} has to be unpacked: run `pip install 'equimodal[nvgesture]'` and run again, or"
            " unpack it with a 7z program"
        ) from None
    try:
        joined = _Joined(parts)
        file = io.BufferedReader(cast(io.RawIOBase, joined), AHEAD)
        _require_whole(parts, joined.begins, file.read(HEADER))
        make_folder(folder)
        file.seek(0)
        with (
            show_progress("unpack, MB", joined.begins[-1] // MEGABYTE) as joined.advance,
            py7zr.SevenZipFile(cast(BinaryIO, file)) as archive,
        ):
            chosen = _choose(parts[0], archive.list(), wanted, folder)
            archive.extract(folder.absolute(), targets=chosen)
    except UserError:
        raise
    except OSError as error:
        raise UserError(
            f"{parts[0]} can not be unpacked to {folder}: {error.strerror or error}; check the"
            " permissions and the space on the disk, and run again"
        ) from error
    except (UnsupportedCompressionMethodError, PasswordRequired) as error:
        raise UserError(
            f"{parts[0]} is packed in a way that py7zr can not unpack ({error}); unpack it"
            f" with a 7z program: 7z x {parts[0].name}"
        ) from None
    except Exception as error:  # noqa: BLE001  py7zr raises nearly anything on damaged bytes
        raise UserError(
            f"{joined.part} is damaged, here or shortly before it ({first_line(error)}); get it again"
        ) from None


def _require_whole(parts: Sequence[Path], begins: Sequence[int], header: bytes) -> None:
    """Check the archive's own header, which says how long all parts are together."""
    if header[:6] != MAGIC or len(header) < HEADER:
        raise UserError(f"{parts[0]} is not the beginning of a 7z archive; get it again")
    checksum, offset, size = struct.unpack("<IQQ", header[8:28])
    if zlib.crc32(header[12:]) != checksum:
        raise UserError(f"{parts[0]} is damaged at its beginning; get it again")
    if begins[-1] >= (expected := HEADER + offset + size):
        return
    sizes = [end - begin for begin, end in pairwise(begins)]
    short = [part for part, size in zip(parts[:-1], sizes, strict=False) if size < max(sizes)]
    last = " or parts after it are missing" if len(parts) > 1 else ""
    problem = f"{short[0]} is truncated" if short else f"{parts[-1]} is truncated{last}"
    raise UserError(f"{problem}: {begins[-1]:,} bytes of {expected:,} are there; get it again")


def _choose(
    archive: Path, members: Sequence["FileInfo"], wanted: Sequence[str], folder: Path
) -> set[str]:
    """Paths of the members that are wanted, once all are safe and the disk has room for these."""
    files = [m for m in members if not m.is_directory]
    require_inside(archive, (m.filename for m in files))
    names = [PurePosixPath(m.filename.replace("\\", "/")).name for m in files]
    sizes = {
        m.filename: m.uncompressed
        for m, name in zip(files, names, strict=True)
        if not m.is_symlink and any(fnmatchcase(name, pattern) for pattern in wanted)
    }
    if not sizes:
        raise UserError(f"{archive} holds no {' or '.join(wanted)}: it is another archive")
    if (needed := sum(sizes.values())) > (free := shutil.disk_usage(folder).free):
        raise UserError(
            f"{folder} needs {needed / 1e9:.1f} GB for what is in {archive.name},"
            f" {free / 1e9:.1f} GB are free"
        )
    return set(sizes)


class _Joined(io.RawIOBase):
    """Files read as one, end to end; multivolumefile knows neither their order nor where one is damaged."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self.parts, self.place = parts, 0
        self.begins = [0, *accumulate(part.stat().st_size for part in parts)]
        self.advance: Callable[[int], None] = lambda megabytes: None

    @property
    def part(self) -> Path:
        """The part that was read last."""
        return self.parts[self._number(max(self.place - 1, 0))]

    def _number(self, place: int) -> int:
        return min(bisect_right(self.begins, place), len(self.parts)) - 1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + {0: 0, 1: self.place, 2: self.begins[-1]}[whence]
        return self.place

    def readinto(self, buffer: Any) -> int:
        """Read from the part at the place; the rest comes with the next call."""
        number = self._number(self.place)
        with self.parts[number].open("rb") as file:
            file.seek(self.place - self.begins[number])
            read = file.readinto(buffer)
        if not read and self.place < self.begins[-1]:
            raise EOFError(f"{self.parts[number]} has become shorter")
        self.place += read
        self.advance(self.place // MEGABYTE)
        return read
