import errno
import io
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import py7zr
import pytest

from equimodal.study.data import seven_zip
from equimodal.study.data.seven_zip import find_parts, unpack
from equimodal.study.errors import UserError
from tests.study.data.helpers import read_or_refuse

MEGABYTE = 2**20
NOISE = np.random.default_rng(0).bytes(7 * MEGABYTE)
FILES = {
    "top/a/wanted.avi": NOISE[:30_000],
    "top/a/other.avi": NOISE[30_000:50_000],
    "top/b/wanted.avi": b"",
    "top/b/also.lst": b"a list\n" * 1000,
}
WANTED = ("wanted.avi", "*.lst")
UNPACKED = {name: content for name, content in FILES.items() if "other" not in name}
STORED = [{"id": py7zr.FILTER_COPY}]


def pack(path, files, filters=None):
    with py7zr.SevenZipFile(path, "w", filters=filters) as archive:
        for name, content in files.items():
            archive.writestr(content, name)
    return path


def cut(path, size):
    """Cut an archive into parts of `size` bytes, as 7z does, and return them."""
    content = path.read_bytes()
    path.unlink()
    parts = []
    for number, place in enumerate(range(0, len(content), size), 1):
        parts.append(path.with_name(f"{path.name}.{number:03}"))
        parts[-1].write_bytes(content[place : place + size])
    return parts


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


# Finding


def test_no_archive_has_no_parts(tmp_path):
    for name in ("nvGesture_v1.7z.txt", "._nvGesture_v1.7z.001", "a.7z.999999999999"):
        (tmp_path / name).touch()
    (tmp_path / "other.7z").mkdir()
    assert find_parts(tmp_path) == find_parts(tmp_path / "missing") == []


def test_parts_are_found_in_order_beyond_nine_hundred_and_ninety_nine(tmp_path):
    names = [f"a.v1.7z.{number:03}" for number in range(1, 1002)]
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in find_parts(tmp_path)] == names


def test_a_whole_archive_has_one_part(tmp_path):
    (tmp_path / "nvGesture_v1.1.7z").touch()
    assert find_parts(tmp_path) == [tmp_path / "nvGesture_v1.1.7z"]


GAPS = {
    "the first": ([2, 3], r"an archive of 3 or more; put them there:\n  a.7z.001$"),
    "two": ([1, 3, 5], r"an archive of 5 or more; put them there:\n  a.7z.002\n  a.7z.004$"),
    "many": ([31], r"(?s)a.7z.001\n.*a.7z.010\n  ... and 20 more$"),
}


@pytest.mark.parametrize(("there", "problem"), GAPS.values(), ids=GAPS)
def test_a_gap_in_the_numbers_is_named(tmp_path, there, problem):
    for number in there:
        (tmp_path / f"a.7z.{number:03}").touch()
    with pytest.raises(UserError, match=problem):
        find_parts(tmp_path)


def test_of_two_archives_none_is_chosen(tmp_path):
    for name in ("a.7z", "a.7z.001", "a.7z.002"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"holds a.7z and a.7z.001; move all archives but one"):
        find_parts(tmp_path)


# Unpacking


def pack_in_blocks(path):
    pack(path, {"a/other": NOISE[:1000]})
    for name, content in FILES.items():
        with py7zr.SevenZipFile(path, "a") as archive:
            archive.writestr(content, name)
    cut(path, 4321)


def pack_in_volumes(path):
    import multivolumefile

    with multivolumefile.MultiVolume(path, "wb", volume=10_000, ext_digits=3) as volumes:
        pack(volumes, FILES)


ARCHIVES = {  # how an archive comes -> how many parts it has at least
    "whole": (lambda path: pack(path, FILES), 1),
    "one part": (lambda path: cut(pack(path, FILES), 10**9), 1),
    "parts": (lambda path: cut(pack(path, FILES), 10_000), 4),
    "parts as small as its header": (lambda path: cut(pack(path, FILES), 99), 300),
    "many blocks": (pack_in_blocks, 10),
    "volumes of another program": (pack_in_volumes, 4),
}


@pytest.mark.parametrize(("packed", "least"), ARCHIVES.values(), ids=ARCHIVES)
def test_what_is_wanted_is_unpacked_however_the_archive_comes(tmp_path, packed, least):
    packed(tmp_path / "a.7z")
    parts = find_parts(tmp_path)
    assert len(parts) >= least
    unpack(parts, tmp_path / "out", WANTED)
    assert contents(tmp_path / "out") == UNPACKED


def test_links_are_not_unpacked(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.lst").write_text("x")
    (tmp_path / "in/link.lst").symlink_to("x.lst")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as archive:
        archive.writeall(tmp_path / "in", "in")
    unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)
    assert contents(tmp_path / "out") == {"in/x.lst": b"x"}


def let_climb(patch):
    """Let py7zr pack what it would refuse."""
    patch.setattr(py7zr.py7zr, "check_archive_path", lambda _: True)
    patch.setattr(py7zr.SevenZipFile, "_sanitize_archive_arcname", staticmethod(lambda n: n))


@pytest.mark.parametrize("name", ["../x.lst", "a/../../x.lst", "/x.lst", "..\\x.lst", "C:/x"])
def test_a_path_that_climbs_out_is_refused_and_nothing_unpacked(tmp_path, monkeypatch, name):
    with monkeypatch.context() as patch:
        let_climb(patch)
        pack(tmp_path / "a.7z", {"b/wanted.avi": b"good", name: b"bad"})
    with pytest.raises(UserError, match=r"a.7z holds '.*', a path that climbs out"):
        unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)
    assert contents(tmp_path) == {"a.7z": (tmp_path / "a.7z").read_bytes()}


def test_an_archive_of_other_things_is_refused(tmp_path):
    pack(tmp_path / "a.7z", {"x.txt": b"x"})
    with pytest.raises(UserError, match=r"a.7z holds no wanted.avi or \*.lst"):
        unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)


# Damage


@pytest.fixture
def parts(tmp_path):
    """Five parts of one and a half megabytes at most, not compressed."""
    files = {f"{i}/wanted.avi": NOISE[i * MEGABYTE : (i + 1) * MEGABYTE] for i in range(7)}
    return cut(pack(tmp_path / "a.7z", files, STORED), 3 * MEGABYTE // 2)


def truncate(number, size):
    return lambda parts: os.truncate(parts[number - 1], size)


def overwrite(number, place, content):
    def overwrite(parts):
        with parts[number - 1].open("r+b") as file:
            file.seek(place)
            file.write(content)

    return overwrite


def remove_last(parts):
    parts.pop().unlink()


TRUNCATED = r"is truncated: [\d,]+ bytes of 7,3\d\d,\d\d\d are there; get it again"
DAMAGES = {
    "a part in the middle is truncated": (truncate(2, 1000), f"a.7z.002 {TRUNCATED}"),
    "the last": (truncate(5, 1000), "a.7z.005 is truncated or parts after it are missing"),
    "the first": (truncate(1, 1000), "a.7z.001 is truncated"),
    "the first is empty": (truncate(1, 0), "a.7z.001 is not the beginning of a 7z archive"),
    "the last is missing": (remove_last, "a.7z.004 is truncated or parts after it are missing"),
    "another file": (
        *(overwrite(1, 0, b"<html>not found</html>"),),
        "a.7z.001 is not the beginning of a 7z archive",
    ),
    "the header": (overwrite(1, 14, b"\xff"), "a.7z.001 is damaged at its beginning"),
    **{
        f"part {n}": (
            *(overwrite(n, 100_000, bytes(10)),),
            f"a.7z.00{n} is damaged, here or shortly before it",
        )
        for n in (1, 3, 5)
    },
}


@pytest.mark.parametrize(("damage", "problem"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_named(parts, tmp_path, damage, problem):
    damage(parts)
    with pytest.raises(UserError, match=problem):
        unpack(parts, tmp_path / "out", WANTED)
    assert not any(contents(tmp_path / "out").values()) or "damaged, here" in problem


@pytest.mark.parametrize("checked", [True, False])
def test_a_damaged_archive_gives_its_files_or_our_error_and_nothing_else(tmp_path, checked):
    """Also as if the damage were older than the checksum of the beginning."""
    path, originals = tmp_path / "a.7z", []
    files = {name: content[:5000] for name, content in FILES.items()}
    for filters in (None, STORED, [{"id": py7zr.FILTER_BZIP2}], [{"id": py7zr.FILTER_DEFLATE}]):
        originals.append(pack(path, files, filters).read_bytes())

    def read(content):
        if not checked:
            checksum = seven_zip.zlib.crc32(content[12:32]).to_bytes(4, "little")
            content = content[:8] + checksum + content[12:]
        path.write_bytes(content)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        unpack([path], tmp_path / "out", WANTED)
        return contents(tmp_path / "out")

    for unpacked in read_or_refuse(read, originals):
        assert unpacked


# The machine


def test_a_disk_without_room_is_refused_before_anything_is_unpacked(tmp_path, monkeypatch):
    pack(tmp_path / "a.7z", FILES)
    little = type(shutil.disk_usage(tmp_path))(10**6, 10**6, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    with pytest.raises(UserError, match=r"out needs 0.0 GB for what is in a.7z, 0.0 GB are free"):
        unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)
    assert contents(tmp_path / "out") == {}


def test_a_disk_that_is_full_midway_is_named(tmp_path, monkeypatch):
    pack(tmp_path / "a.7z", FILES)

    class Full(io.FileIO):
        def write(self, _) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def opening(path, mode="r", *rest, **options):
        return Full(path, mode) if "w" in mode else opened(path, mode, *rest, **options)

    opened = Path.open
    monkeypatch.setattr(Path, "open", opening)
    with pytest.raises(UserError, match=r"a.7z can not be unpacked to .*out: No space left"):
        unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)


def test_what_can_be_installed_is_said_where_nothing_unpacks(tmp_path, monkeypatch):
    pack(tmp_path / "a.7z", FILES)
    monkeypatch.setitem(sys.modules, "py7zr", None)
    with pytest.raises(
        UserError, match=r"a.7z has to be unpacked: run `pip install 'equimodal\[nv"
    ):
        unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)


def test_a_part_that_can_not_be_read_is_named(tmp_path):
    (tmp_path / "a.7z").mkdir()
    with pytest.raises(UserError, match=r"a.7z can not be unpacked to .*: Is a directory"):
        unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)
