"""7z archives, whole or in parts (`.7z.001` and on), unpacked by py7zr."""

import io
import re
import shutil
import struct
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from equimodal.study.data.archive import DAMAGE, MEGABYTE, require_inside
from equimodal.study.errors import UserError, first_line
from equimodal.study.files import make_folder
from equimodal.study.progress import Advance, show_progress

MAGIC = b"7z\xbc\xaf\x27\x1c"
HEADER = 32  # bytes before what is packed
SHOWN = 10  # missing parts that a message names

Member = tuple[str, int]  # path in the archive, size unpacked

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
            names = [f"{name[:-3]}{number:03}" for number in missing[:SHOWN]]
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            raise UserError(
                f"{folder} lacks {', '.join(names)}{more}: parts of an archive of {max(parts)} or"
                " more; put them there"
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
        from py7zr.exceptions import (
            ArchiveError,
            PasswordRequired,
            UnsupportedCompressionMethodError,
        )
    except ImportError:
        raise UserError(
            f"{parts[0]} has to be unpacked: run `pip install 'equimodal[nvgesture]'` and run again, or"
            " unpack it with a 7z program"
        ) from None
    try:
        _require_whole(parts)
        make_folder(folder)
        with (
            _Joined(parts) as file,
            show_progress("unpack, MB", file.begins[-1] // MEGABYTE) as show,
        ):
            try:
                with py7zr.SevenZipFile(cast(BinaryIO, file)) as archive:
                    members = archive.list()
                    files = [(m.filename, m.uncompressed) for m in members if not m.is_directory]
                    links = {m.filename for m in members if m.is_symlink}
                    chosen = set(_choose(parts[0], files, wanted, folder)) - links
                    file.advance = show
                    archive.extract(folder.absolute(), targets=chosen)
            except (UnsupportedCompressionMethodError, PasswordRequired) as error:
                raise UserError(
                    f"{parts[0]} is packed in a way that py7zr can not unpack ({error}); unpack it"
                    f" with a 7z program: 7z x {parts[0].name}"
                ) from None
            except (ArchiveError, TypeError, MemoryError, *DAMAGE) as error:
                raise UserError(
                    f"{file.part} is damaged, here or shortly before it ({first_line(error)}); get it"
                    " again"
                ) from None
    except OSError as error:
        raise UserError(
            f"{parts[0]} can not be unpacked to {folder}: {error.strerror or error}; check the"
            " permissions and the space on the disk, and run again"
        ) from error


def _require_whole(parts: Sequence[Path]) -> None:
    """Check the archive's own header, which says how long all parts are together."""
    sizes = [part.stat().st_size for part in parts]
    with _Joined(parts) as file:
        header = file.read(HEADER)
    if header[:6] != MAGIC or len(header) < HEADER:
        raise UserError(f"{parts[0]} is not the beginning of a 7z archive; get it again")
    checksum, offset, size = struct.unpack("<IQQ", header[8:28])
    if zlib.crc32(header[12:]) != checksum:
        raise UserError(f"{parts[0]} is damaged at its beginning; get it again")
    if sum(sizes) >= (expected := HEADER + offset + size):
        return
    short = [part for part, size in zip(parts[:-1], sizes, strict=False) if size < max(sizes)]
    last = " or parts after it are missing" if len(parts) > 1 else ""
    problem = f"{short[0]} is truncated" if short else f"{parts[-1]} is truncated{last}"
    raise UserError(f"{problem}: {sum(sizes):,} bytes of {expected:,} are there; get it again")


def _choose(
    archive: Path, members: Sequence[Member], wanted: Sequence[str], folder: Path
) -> list[str]:
    """Paths of the members that are wanted, once all are safe and the disk has room for these."""
    require_inside(archive, (name for name, _ in members))
    sizes = {
        name: size
        for name, size in members
        if any(fnmatchcase(PurePosixPath(name.replace("\\", "/")).name, w) for w in wanted)
    }
    chosen, needed = list(sizes), sum(sizes.values())
    if not chosen:
        raise UserError(f"{archive} holds no {' or '.join(wanted)}: it is another archive")
    if needed > (free := shutil.disk_usage(folder).free):
        raise UserError(
            f"{folder} needs {needed / 1e9:.1f} GB for what is in {archive.name},"
            f" {free / 1e9:.1f} GB are free"
        )
    return chosen


class _Joined(io.RawIOBase):
    """Files read as one, end to end; multivolumefile's own reader stops short at each end."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self.parts = parts
        self.begins = [0, *accumulate(part.stat().st_size for part in parts)]
        self.place = 0
        self.advance: Advance | None = None  # told the megabytes before the place
        with ExitStack() as stack:
            self.files = [stack.enter_context(part.open("rb")) for part in parts]
            self.opened = stack.pop_all()

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

    def read(self, size: int = -1) -> bytes:
        """Read as many bytes as are asked for, if there are, from all the parts they lie in."""
        end = self.begins[-1] if size < 0 else min(self.place + size, self.begins[-1])
        pieces = []
        while self.place < end:
            number = self._number(self.place)
            self.files[number].seek(self.place - self.begins[number])
            piece = self.files[number].read(min(end, self.begins[number + 1]) - self.place)
            if not piece:
                raise EOFError(f"{self.parts[number]} has become shorter")
            pieces.append(piece)
            self.place += len(piece)
        if self.advance:
            self.advance(self.place // MEGABYTE)
        return b"".join(pieces)

    def tell(self) -> int:
        return self.place

    def close(self) -> None:
        self.opened.close()
        super().close()
