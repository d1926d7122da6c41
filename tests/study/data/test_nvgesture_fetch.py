import shutil

import py7zr
import pytest

from equimodal.study.data import nvgesture
from equimodal.study.errors import UserError
from tests.study.data.helpers import CLIPS, changed, contents, dataset

REAL = dataset("nvgesture", classes=2, size=16, frames=8, validation_examples=2, stand_in=None)
LISTS = [f"nvgesture_{part}_correct_cvpr2016_v2.lst" for part in ("train", "test")]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A stand-in; not to be changed."""
    folder = tmp_path_factory.mktemp("drawn") / "raw"
    changed(REAL, stand_in=CLIPS).fetch(folder, mirror=None)
    return folder


@pytest.fixture
def raw(drawn, tmp_path):
    """What lies where the real data set was unpacked, to change."""
    folder = tmp_path / "raw"
    shutil.copytree(drawn / "Video_data", folder / "Video_data")
    for path in drawn.glob("*.lst"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def packed(raw):
    """A folder with an archive in parts, and what it should be unpacked to."""
    for name in ("sk_wrapped.avi", "duo_left.avi", "nucleus.txt"):
        (next(raw.rglob("subject*")) / name).write_text("not needed")
    folder = raw.parent / "packed"
    folder.mkdir()
    archive = folder / "nvGesture_v1.7z"
    with py7zr.SevenZipFile(archive, "w") as file:
        file.writeall(raw, "nvGesture_v1")
    content = archive.read_bytes()
    archive.unlink()
    size = len(content) // 4 + 1
    for number in range(4):
        part = content[number * size : (number + 1) * size]
        archive.with_name(f"{archive.name}.{number + 1:03}").write_bytes(part)
    return folder


# The data set, unpacked


def test_the_real_data_set_is_brought_by_hand(tmp_path):
    assert REAL.fetched == ()
    files = [tmp_path / name for name in (*LISTS, "Video_data")]
    assert REAL.raw_files(tmp_path, mirror=None) == files
    with pytest.raises(UserError, match=r"(?s)train_.* and .*Video_data are missing") as raised:
        REAL.fetch(tmp_path, mirror=str(tmp_path))
    told = str(raised.value)
    for needed in ("research.nvidia.com", "data/raw/nvgesture", "v1.7z.001", "v1.1.7z", *LISTS):
        assert needed in told
    assert LISTS[0].replace("_v2", "") in changed(REAL, list_version="v1").origin.by_hand


def test_missing_and_empty_videos_are_counted_and_ten_are_named(raw):
    videos = sorted(raw.rglob("*.avi"))
    for path in videos[:7]:
        path.unlink()
    for path in videos[7:12]:
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"12 of 24 videos .* are missing or empty") as caught:
        REAL.fetch(raw, mirror=None)
    lines = str(caught.value).splitlines()
    assert sum("_v2.lst, line " in line for line in lines) == 10
    assert lines[-2:] == ["  ... and 2 more", "Unpack the archive again so that they lie there."]


def test_all_that_is_wrong_is_said_at_once(raw):
    path = raw / LISTS[1]
    path.write_text(path.read_text().replace("label:", "lable:"))
    (next(raw.rglob("subject1_r0")) / "sk_color.avi").unlink()
    with pytest.raises(UserError) as caught:
        REAL.fetch(raw, mirror=None)
    lines = [f"{LISTS[1]}, line {n}: lable is " for n in (1, 2, 3, 4)]
    for said in (*lines, "1 of 16 videos that the lists name are missing or empty:"):
        assert said in str(caught.value)


# Elsewhere than expected


def into(raw, place, *names):
    (raw / place).mkdir(parents=True)
    for name in names:
        (raw / name).rename(raw / place / name)


PLACES = {
    "all one deeper": ("nvGesture_v1", ("Video_data", *LISTS)),
    "videos one deeper": ("nvGesture_v1", ("Video_data",)),
    "in a folder of the same name": ("new", ("Video_data",)),
}


@pytest.mark.parametrize(("place", "names"), PLACES.values(), ids=PLACES)
def test_the_data_set_is_found_where_it_was_unpacked(raw, tmp_path, capsys, place, names):
    REAL.prepare(raw, tmp_path / "usual")
    into(raw, place, *names)
    if place == "new":
        (raw / "new").rename(raw / "Video_data")
    REAL.fetch(raw, mirror=None)
    assert "nvgesture: 12 clips" in capsys.readouterr().out
    assert all(path.exists() for path in REAL.raw_files(raw, mirror=None))
    REAL.prepare(raw, tmp_path / "moved")
    assert contents(tmp_path / "moved") == contents(tmp_path / "usual")


def test_parts_of_the_archive_may_lie_one_deeper(packed, capsys):
    into(packed, "nvgesture_arch", *(path.name for path in packed.iterdir()))
    REAL.fetch(packed, mirror=None)
    assert "nvgesture: 12 clips" in capsys.readouterr().out
    (packed / "nvGesture_v1.7z").touch()
    shutil.rmtree(packed / "Video_data")
    with pytest.raises(UserError, match=r"v1.7z and .*arch/nvGesture_v1.7z.001 are several"):
        REAL.fetch(packed, mirror=None)


# A mirror that is a folder


def test_what_a_mirror_has_is_linked_where_it_is_missing(raw, tmp_path, capsys):
    mirror, folder = tmp_path / "mirror", tmp_path / "new/raw"
    mirror.mkdir()
    raw.rename(mirror / "nvgesture")
    folder.mkdir(parents=True)
    text = (mirror / "nvgesture" / LISTS[0]).read_text()
    (folder / LISTS[0]).write_text(text)
    REAL.fetch(folder, mirror=str(mirror))
    for name in ("Video_data", LISTS[1]):
        assert (folder / name).resolve() == mirror / "nvgesture" / name
    assert not (folder / LISTS[0]).is_symlink()
    assert "nvgesture: 12 clips" in capsys.readouterr().out


def test_an_archive_of_a_mirror_is_unpacked_from_there(packed, tmp_path, capsys):
    mirror, folder = tmp_path / "mirror", tmp_path / "new/raw"
    mirror.mkdir()
    parts = contents(packed.rename(mirror / "nvgesture"))
    REAL.fetch(folder, mirror=str(mirror))
    assert "nvgesture: 12 clips" in capsys.readouterr().out
    assert contents(mirror / "nvgesture") == parts
    assert {path.name for path in folder.iterdir()} >= {"Video_data", *LISTS}


# The data set, packed


def test_an_archive_in_parts_is_unpacked_and_checked(packed, raw, capsys):
    parts = contents(packed)
    REAL.fetch(packed, mirror=None)
    size = sum(path.stat().st_size for path in packed.rglob("*.avi"))
    assert capsys.readouterr().out == (
        "nvgesture: 12 clips, 1 of them with other windows in depth than in color;"
        f" {size:,} bytes of videos\n"
    )
    wanted = (".lst", "sk_color.avi", "sk_depth.avi")
    unpacked = {name: d for name, d in contents(raw).items() if name.endswith(wanted)}
    assert contents(packed) == parts | unpacked


def test_a_damaged_archive_leaves_nothing_that_would_be_taken_for_whole(packed):
    with (packed / "nvGesture_v1.7z.003").open("r+b") as file:
        file.seek(10)
        file.write(bytes(50))
    before = contents(packed)
    with pytest.raises(UserError, match=r"nvGesture_v1.7z.00\d is damaged, here or shortly before"):
        REAL.fetch(packed, mirror=None)
    assert contents(packed) == before


def test_what_a_killed_run_unpacked_is_not_taken_for_whole(packed, drawn):
    half = packed / nvgesture.UNPACKING / "nvGesture_v1/Video_data/class_01"
    half.mkdir(parents=True)
    (half / "sk_color.avi").write_text("half")
    REAL.fetch(packed, mirror=None)
    assert not (packed / nvgesture.UNPACKING).exists()
    videos = {name: d for name, d in contents(drawn).items() if name.endswith(".avi")}
    assert {name: d for name, d in contents(packed).items() if name.endswith(".avi")} == videos
