import os
import shutil
import sys
from contextlib import suppress
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
    for name in ("nvGesture_v1.7z.txt", "._nvGesture_v1.7z.001"):
        (tmp_path / name).touch()
    (tmp_path / "other.7z").mkdir()
    assert find_parts(tmp_path) == find_parts(tmp_path / "missing") == []


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
    with pytest.raises(
        UserError, match=r"a.7z and .*a.7z.001 are several archives; move all but one"
    ):
        find_parts(tmp_path)


# Unpacking


ARCHIVES = {  # how an archive comes -> how many parts it has at least
    "whole": (lambda path: pack(path, FILES), 1),
    "one part": (lambda path: cut(pack(path, FILES), 10**9), 1),
    "parts": (lambda path: cut(pack(path, FILES), 10_000), 4),
    "parts as small as its header": (lambda path: cut(pack(path, FILES), 99), 300),
}


@pytest.mark.parametrize(("packed", "least"), ARCHIVES.values(), ids=ARCHIVES)
def test_what_is_wanted_is_unpacked_however_the_archive_comes(tmp_path, packed, least):
    packed(tmp_path / "a.7z")
    parts = find_parts(tmp_path)
    assert len(parts) >= least
    unpack(parts, tmp_path / "out", WANTED)
    assert contents(tmp_path / "out") == UNPACKED


def let_climb(patch):
    """Let py7zr pack what it would refuse."""
    patch.setattr(py7zr.py7zr, "check_archive_path", lambda _: True)
    patch.setattr(py7zr.SevenZipFile, "_sanitize_archive_arcname", staticmethod(lambda n: n))


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


DAMAGES = {
    "a part in the middle is truncated": (
        *(truncate(2, 1000), "a.7z.002 is truncated, or .*: [\\d,]+ bytes of 7,3[\\d,]+ are there"),
    ),
    "the last": (truncate(5, 1000), "a.7z.005 is truncated, or parts after it are missing"),
    "the last is missing": (lambda parts: parts.pop(), "a.7z.004 is truncated, or parts after it"),
    "the first is empty": (truncate(1, 0), "a.7z.001 is not the beginning of a 7z archive"),
    "its header": (overwrite(1, 14, b"\xff"), "a.7z.001 is not the beginning of a 7z archive"),
    "the first": (overwrite(1, 100_000, bytes(10)), "a.7z.001 is damaged, here or shortly before"),
    "the last, within": (overwrite(5, 100_000, bytes(10)), "a.7z.005 is damaged, here or shortly"),
}


@pytest.mark.parametrize(("damage", "problem"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_named(parts, tmp_path, damage, problem):
    damage(parts)
    with pytest.raises(UserError, match=problem):
        unpack(parts, tmp_path / "out", WANTED)


def test_a_damaged_archive_gives_its_files_or_our_error_and_nothing_else(tmp_path):
    """As if the damage were older than the checksum of the beginning."""
    path, originals = tmp_path / "a.7z", []
    files = {name: content[:5000] for name, content in FILES.items()}
    for filters in (None, STORED, [{"id": py7zr.FILTER_BZIP2}], [{"id": py7zr.FILTER_DEFLATE}]):
        originals.append(pack(path, files, filters).read_bytes())

    def read(content):
        checksum = seven_zip.zlib.crc32(content[12:32]).to_bytes(4, "little")
        path.write_bytes(content[:8] + checksum + content[12:])
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        unpack([path], tmp_path / "out", WANTED)
        return contents(tmp_path / "out")

    for unpacked in read_or_refuse(read, originals):
        assert unpacked


@pytest.mark.parametrize("name", ["../x.lst", "a/../../x.lst", "/x.lst", "..\\x.lst", "C:/x.lst"])
def test_nothing_is_unpacked_to_elsewhere(tmp_path, monkeypatch, name):
    with monkeypatch.context() as patch:
        let_climb(patch)
        pack(tmp_path / "a.7z", {"b/wanted.avi": b"good", name: b"bad"})
    with suppress(UserError):
        unpack([tmp_path / "a.7z"], tmp_path / "in/out", WANTED)
    assert not {*tmp_path.rglob("*.lst")} - {*(tmp_path / "in/out").rglob("*.lst")}
    assert not Path("/x.lst").exists()


# The machine


def test_a_disk_without_room_is_refused_before_anything_is_unpacked(tmp_path, monkeypatch):
    pack(tmp_path / "a.7z", FILES)
    little = type(shutil.disk_usage(tmp_path))(10**6, 10**6, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    with pytest.raises(UserError, match=r"out needs 0.0 GB for what is in a.7z, 0.0 GB are free"):
        unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)
    assert contents(tmp_path / "out") == {}


def test_what_can_be_installed_is_said_where_nothing_unpacks(tmp_path, monkeypatch):
    pack(tmp_path / "a.7z", FILES)
    monkeypatch.setitem(sys.modules, "py7zr", None)
    with pytest.raises(
        UserError, match=r"a.7z has to be unpacked: run `pip install 'equimodal\[nv"
    ):
        unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)
