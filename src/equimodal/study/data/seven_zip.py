"""7z archives, whole or in parts (`.7z.001` and on), unpacked by py7zr."""

import io
import re
import shutil
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from equimodal.study.data.archive import MEGABYTE
from equimodal.study.data.jobs import some
from equimodal.study.errors import UserError, first_line
from equimodal.study.files import make_folder
from equimodal.study.progress import show_progress

MAGIC = b"7z\xbc\xaf\x27\x1c"
HEADER = 32  # bytes before what is packed
AHEAD = 2**16  # bytes that are read at once

_NAME = re.compile(r"(.+\.7z)(?:\.([0-9]{3,5}))?", re.IGNORECASE)


def find_parts(folder: Path) -> list[Path]:
    """The parts of the archive in a folder, or one deeper, in order; one if it is whole, none if there is none.

    Raises:
        UserError: If parts are missing before the last one, or there is more than one archive.
    """
    archives: dict[Path, dict[int, Path]] = {}
    for path in sorted([*folder.glob("[!.]*"), *folder.glob("[!.]*/[!.]*")]):
        if (match := _NAME.fullmatch(path.name)) and path.is_file():
            archive = path.with_suffix(".001") if match[2] else path
            archives.setdefault(archive, {})[int(match[2] or 1)] = path
    if len(archives) > 1:
        raise UserError(
            f"{' and '.join(map(str, archives))} are several archives; move all but one away"
        )
    for archive, parts in archives.items():
        if missing := sorted(set(range(1, max(parts) + 1)) - set(parts)):
            names = some([archive.with_suffix(f".{number:03}").name for number in missing])
            raise UserError(
                f"{archive.parent} lacks parts of an archive of {max(parts)} or more; put them there:\n{names}"
            )
    return [part for parts in archives.values() for _, part in sorted(parts.items())]


def unpack(parts: Sequence[Path], folder: Path, wanted: Sequence[str]) -> None:
    """Unpack files from all parts, in order, of an archive into a folder; what is there already may be overwritten.

    `wanted` are patterns of file names, such as `*.txt`, of whatever folder of the archive. UserError if a part is damaged,
    truncated or missing, a path climbs out of the archive, the disk is full, or nothing that unpacks is installed.
    """
    try:
        import py7zr
        from py7zr.exceptions import PasswordRequired, UnsupportedCompressionMethodError
    except ImportError:
        raise UserError(
            f"{parts[0]} has to be unpacked: run `pip install 'equimodal[nvgesture]'` and run again, or"
            " unpack it with a 7z program"
        ) from None
    make_folder(folder)
    try:
        _require_whole(parts)
        joined = _Joined(parts)
        file = cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, joined), AHEAD))
        with (
            show_progress("unpack, MB", joined.begins[-1] // MEGABYTE) as joined.advance,
            py7zr.SevenZipFile(file) as archive,
        ):
            sizes = {
                member.filename: member.uncompressed
                for member in archive.list()
                if not member.is_directory
                and any(fnmatchcase(PurePosixPath(member.filename).name, w) for w in wanted)
            }
            if not sizes:
                raise UserError(f"{parts[0]} holds no {' or '.join(wanted)}: it is another archive")
            if (needed := sum(sizes.values())) > (free := shutil.disk_usage(folder).free):
                raise UserError(
                    f"{folder} needs {needed / 1e9:.1f} GB for what is in {parts[0].name},"
                    f" {free / 1e9:.1f} GB are free"
                )
            archive.extract(folder.absolute(), targets=set(sizes))
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


def _require_whole(parts: Sequence[Path]) -> None:
    """Check the archive's own header, which says how long all parts are together."""
    with parts[0].open("rb") as file:
        header = file.read(HEADER)
    sizes = {part: part.stat().st_size for part in parts}
    if header[:6] != MAGIC or header[8:12] != zlib.crc32(header[12:]).to_bytes(4, "little"):
        raise UserError(f"{parts[0]} is not the beginning of a 7z archive; get it again")
    expected = HEADER + sum(struct.unpack("<QQ", header[12:28]))
    if (there := sum(sizes.values())) < expected:
        short = [part for part in parts[:-1] if sizes[part] < max(sizes.values())] or parts[-1:]
        raise UserError(
            f"{short[0]} is truncated, or parts after it are missing: {there:,} bytes of"
            f" {expected:,} are there; get it again"
        )


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
