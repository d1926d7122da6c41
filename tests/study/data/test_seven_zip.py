import errno
import io
import os
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import py7zr
import pytest

from equimodal.study.data import seven_zip
from equimodal.study.data.seven_zip import find_parts, unpack
from equimodal.study.errors import UserError

FUZZ = int(os.environ.get("EQUIMODAL_FUZZ", "200"))
MEGABYTE = 2**20
NOISE = np.random.default_rng(0).bytes(7 * MEGABYTE)
FILES = {
    "top/a/wanted.avi": NOISE[:300_000],
    "top/a/other.avi": NOISE[300_000:500_000],
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


@pytest.mark.parametrize(
    ("there", "problem"),
    [
        ([2, 3], "lacks a.7z.001: parts of an archive of 3 or more"),
        ([1, 3, 5], "lacks a.7z.002, a.7z.004: parts of an archive of 5 or more; put them there"),
        ([31], r"lacks a.7z.001, .*, a.7z.010 and 20 more: parts"),
    ],
)
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


@pytest.mark.parametrize("size", [10**9, 100_000, 999])
def test_what_is_wanted_is_unpacked_from_parts_of_any_size(tmp_path, size):
    cut(pack(tmp_path / "a.7z", FILES), size)
    unpack(find_parts(tmp_path), tmp_path / "out", WANTED)
    assert contents(tmp_path / "out") == UNPACKED


def test_even_the_header_may_lie_in_several_parts(tmp_path):
    files = {"b/also.lst": FILES["top/b/also.lst"]}
    assert len(cut(pack(tmp_path / "a.7z", files), 7)) > 20
    unpack(find_parts(tmp_path), tmp_path / "out", WANTED)
    assert contents(tmp_path / "out") == files


def test_an_archive_of_one_file_is_unpacked(tmp_path):
    unpack([pack(tmp_path / "a.7z", FILES)], tmp_path / "out", WANTED)
    assert contents(tmp_path / "out") == UNPACKED


def test_an_archive_of_many_blocks_is_unpacked(tmp_path):
    path = pack(tmp_path / "a.7z", {"a/other": NOISE[:1000]})
    for name, content in FILES.items():
        with py7zr.SevenZipFile(path, "a") as archive:
            archive.writestr(content, name)
    unpack(cut(path, 4321), tmp_path / "out", WANTED)
    assert contents(tmp_path / "out") == UNPACKED


def test_volumes_that_another_program_wrote_are_unpacked(tmp_path):
    import multivolumefile

    with multivolumefile.MultiVolume(
        tmp_path / "a.7z", "wb", volume=100_000, ext_digits=3
    ) as volumes:
        pack(volumes, FILES)
    assert len(find_parts(tmp_path)) > 4
    unpack(find_parts(tmp_path), tmp_path / "out", WANTED)
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


@pytest.mark.parametrize(
    ("number", "size", "problem"),
    [
        (2, 1000, r"a.7z.002 is truncated: [\d,]+ bytes of 7,3\d\d,\d\d\d are there; get it again"),
        (5, 1000, "a.7z.005 is truncated or parts after it are missing"),
        (1, 1000, "a.7z.001 is truncated"),
        (1, 0, "a.7z.001 is not the beginning"),
    ],
)
def test_a_truncated_part_is_named(parts, tmp_path, number, size, problem):
    os.truncate(parts[number - 1], size)
    with pytest.raises(UserError, match=problem):
        unpack(parts, tmp_path / "out", WANTED)
    assert not (tmp_path / "out").exists()


def test_missing_last_parts_are_noticed(parts, tmp_path):
    with pytest.raises(UserError, match=r"a.7z.004 is truncated or parts after it are missing"):
        unpack(parts[:4], tmp_path / "out", WANTED)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 10, b"7z\xbc\xaf\x27\x1c"])
def test_a_file_that_is_no_archive_is_named(tmp_path, content):
    (tmp_path / "a.7z").write_bytes(content)
    with pytest.raises(UserError, match=r"a.7z is not the beginning of a 7z archive"):
        unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_damaged_part_is_named(parts, tmp_path, number):
    with parts[number - 1].open("r+b") as file:
        file.seek(100_000)
        file.write(bytes(10))
    with pytest.raises(UserError, match=rf"a.7z.00{number} is damaged, here or shortly before it"):
        unpack(parts, tmp_path / "out", WANTED)


def test_damage_to_the_header_is_named(parts, tmp_path):
    with parts[0].open("r+b") as file:
        file.seek(14)
        file.write(b"\xff")
    with pytest.raises(UserError, match=r"a.7z.001 is damaged at its beginning"):
        unpack(parts, tmp_path / "out", WANTED)


def test_a_damaged_archive_gives_its_files_or_our_error_and_nothing_else(tmp_path):
    generator = random.Random(0)
    originals = []
    for filters in (None, STORED, [{"id": py7zr.FILTER_BZIP2}], [{"id": py7zr.FILTER_DEFLATE}]):
        files = {name: content[:5000] for name, content in FILES.items()}
        originals.append(pack(tmp_path / "a.7z", files, filters).read_bytes())
    refused = 0
    for _ in range(FUZZ):
        content = bytearray(generator.choice(originals))
        for _ in range(generator.choice([1, 2, 10])):
            place = generator.randrange(len(content))
            match generator.randrange(4):
                case 0:
                    content[place] = generator.randrange(256)
                case 1:
                    content[place : place + 20] = bytes(20)
                case 2:
                    del content[place : place + generator.randrange(30)]
                case _:
                    content[place:place] = generator.randbytes(generator.randrange(1, 30))
        # As if the damage were older than the checksum of the beginning, every other time.
        if generator.random() < 0.5:
            content[8:12] = seven_zip.zlib.crc32(content[12:32]).to_bytes(4, "little")
        (tmp_path / "a.7z").write_bytes(content)
        try:
            unpack([tmp_path / "a.7z"], tmp_path / "out", WANTED)
        except UserError:
            refused += 1
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert refused > 0


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

    opened = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda p, mode="r", **k: Full(p, mode) if "w" in mode else opened(p, mode, **k),
    )
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
