import io
import json
import os
import random
import shutil
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equimodal.data import modelnet40, modelnet40_standin
from equimodal.data.modelnet40 import Shape, decode, fetch, prepare, raw_files
from equimodal.data.off import read_off
from equimodal.data.render import Renderer
from equimodal.errors import UserError
from equimodal.receipts import NAME, SEEN, objections

MIRROR = os.environ.get("EQUIMODAL_MIRROR")  # read here: a fixture hides it from the tests
CLASSES = ("bed", "chair")
TRAIN, TEST = 5, 2
SIZE = 8
SETTINGS = {
    "views": [0, 6],
    "size": SIZE,
    "validation_share": 0.2,
    "validation_seed": 10,
    "classes": 2,
    "stand_in": False,
}
NEW, V1, OFF = ({**SETTINGS, "source": source} for source in ("new_12x", "v1", "meshes"))
HELD_OUT = list(range(10))
random.Random(10).shuffle(HELD_OUT)
HELD_OUT = sorted(HELD_OUT[:2])


def encoded(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, kind)
    return file.getvalue()


def level(label, number, view):
    """Gray level that tells a rendering from all others."""
    return 100 * label + 12 * number + view


def renderings(style="new_12x", views=range(12)):
    """Path -> content: plain squares whose gray says what they should be."""
    names = {
        "new_12x": "modelnet40_images_new_12x/{0}/{1}/{0}_{2:04d}.obj.shaded_v{3:03d}.png",
        "v1": "modelnet40v1/{0}/{1}/{0}_{2:09d}_{3:03d}.jpg",
    }
    return {
        names[style].format(name, split, number, view + 1): encoded(
            np.full((SIZE, SIZE, 3), level(label, number, view)),
            "PNG" if style == "new_12x" else "JPEG",
        )
        for label, name in enumerate(CLASSES)
        for split, numbers in {"train": range(TRAIN), "test": range(TRAIN, TRAIN + TEST)}.items()
        for number in numbers
        for view in views
    }


def as_folder(raw, files):
    for name, content in files.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(content)


def as_tar(raw, files, name="modelnet40_images_new_12x.tar", mode="w"):
    with tarfile.open(raw / name, mode) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def as_gzip_tar(raw, files):
    as_tar(raw, dict(reversed(files.items())), "shaded_images.tar.gz", "w:gz")


def as_zip(raw, files):
    with zipfile.ZipFile(raw / "modelnet40_images_new_12x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path, content in files.items():
            file.writestr(path, content)


WAYS = {"folder": as_folder, "tar": as_tar, "compressed tar": as_gzip_tar, "zip": as_zip}


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def load(out, name):
    return np.load(out / f"{name}.npy", allow_pickle=False)


def contents(out):
    """Of all files but the notes on how they looked on this machine."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != SEEN}


def assert_prepared(out):
    """All arrays hold the squares that `renderings` put where they are looked for."""
    assert (out / "classes.txt").read_text() == "bed\nchair\n"
    trained = [i for i in range(10) if i not in HELD_OUT]
    for split, ids in {"train": trained, "validation": HELD_OUT, "test": range(4)}.items():
        count, first = (TEST, TRAIN) if split == "test" else (TRAIN, 0)
        labels = [i // count for i in ids]
        numbers = [first + i % count for i in ids]
        assert load(out, f"{split}.ids").tolist() == list(ids)
        assert load(out, f"{split}.ids").dtype == np.int32
        assert load(out, f"{split}.labels").tolist() == labels
        assert load(out, f"{split}.labels").dtype == np.uint8
        names = [f"{CLASSES[c]}_{n:04d}" for c, n in zip(labels, numbers, strict=True)]
        assert (out / f"{split}.names.txt").read_text().splitlines() == names
        for view in (0, 6):
            array = load(out, f"{split}.view{view}")
            assert array.shape == (len(ids), SIZE, SIZE, 1)
            assert array.dtype == np.uint8
            expected = [level(c, n, view) for c, n in zip(labels, numbers, strict=True)]
            assert (array == np.array(expected)[:, None, None, None]).all()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_each_view_comes_to_its_place(raw, out, way):
    way(raw, renderings())
    prepare(raw, out, NEW)
    assert_prepared(out)
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("way", [as_folder, as_gzip_tar], ids=["folder", "compressed tar"])
def test_two_processes_write_the_same_as_one(raw, out, tmp_path, way):
    way(raw, renderings())
    prepare(raw, out, NEW)
    prepare(raw, tmp_path / "two", NEW, processes=2)
    assert contents(tmp_path / "two") == contents(out)


def test_v1_is_read_as_well(raw, out):
    as_tar(raw, renderings("v1"), "modelnet40v1-part.tar")
    prepare(raw, out, V1)
    names = (out / "test.names.txt").read_text().splitlines()
    assert names == ["bed_000000005", "bed_000000006", "chair_000000005", "chair_000000006"]
    levels = load(out, "test.view6")[:, 0, 0, 0]
    assert levels == pytest.approx([level(c, n, 6) for c in (0, 1) for n in (5, 6)], abs=1)


def test_meshes_are_rendered_as_in_new_12x(raw, out):
    modelnet40_standin.write(raw, seed=0, classes=10, train_per_class=2, test_per_class=1)
    prepare(raw, out, {**OFF, "size": 32, "classes": None}, processes=2)
    path = raw / "ModelNet40/airplane/test/airplane_0003.off"
    drawn = Renderer("new_12x", 32).draw(read_off(path), [0, 6])
    assert (out / "test.names.txt").read_text().startswith("airplane_0003\n")
    for view, image in zip((0, 6), drawn, strict=True):
        assert (load(out, f"test.view{view}")[0, ..., 0] == image).all()
    assert not (out / "examples.npz").exists()


def test_drawing_without_embree_is_said_once(raw, out, monkeypatch, capfd):
    modelnet40_standin.write(raw, seed=0, classes=10, train_per_class=2, test_per_class=1)
    monkeypatch.setattr("trimesh.ray.has_embree", False)
    prepare(raw, out, {**OFF, "classes": None})
    assert capfd.readouterr().err.count("embreex is not installed") == 1


def test_examples_are_kept_of_stand_ins_only(raw, out):
    few = {"train_per_class": 2, "test_per_class": 1, "seed": 0}
    settings = {**OFF, "size": 32, "classes": 10, "stand_in": few}
    fetch(raw, settings, mirror=None)
    prepare(raw, out, settings)
    with np.load(out / "examples.npz") as examples:
        assert examples["test.view6"].shape == (10, 32, 32, 1)
        assert examples["test.labels"].tolist() == list(range(10))


def test_the_split_of_the_full_set_is_the_papers():
    train = [Shape(str(i), 0, {}) for i in range(9843)]
    objects = {"train": train, "test": [Shape("test", 0, {})]}
    splits = modelnet40._split(objects, NEW)
    assert len(splits["validation"]) == 1968
    assert len(splits["train"]) == 7875
    shuffled = list(range(9843))
    random.Random(10).shuffle(shuffled)
    assert set(splits["validation"]) == set(shuffled[:1968])


def test_without_a_share_there_is_no_validation_split(raw, out):
    as_folder(raw, renderings(views=[0, 6]))
    prepare(raw, out, {**NEW, "validation_share": 0})
    assert len(load(out, "train.labels")) == 10
    assert not list(out.glob("validation*"))


def test_a_share_that_leaves_a_split_empty_is_refused(raw, out):
    as_folder(raw, renderings(views=[0, 6]))
    with pytest.raises(UserError, match=r"validation_share 0\.05 of 10"):
        prepare(raw, out, {**NEW, "validation_share": 0.05})


def test_a_view_that_is_not_asked_for_may_be_missing_or_bad(raw, out):
    as_folder(raw, renderings() | dict.fromkeys(renderings(views=[3]), b"bad"))
    prepare(raw, out, NEW)
    assert_prepared(out)


def test_what_systems_leave_behind_is_passed_over(raw, out):
    top = "modelnet40_images_new_12x"
    junk = [
        f"{top}/.DS_Store",
        f"__MACOSX/{top}/lamp/._x.png",
        f"{top}/bed/train/._bed.png",
        "a.txt",
    ]
    as_zip(raw, renderings() | dict.fromkeys(junk, b"junk"))
    prepare(raw, out, NEW)
    assert_prepared(out)


def test_color_is_kept_where_a_single_rendering_has_it(raw, out):
    files = renderings(views=[0, 6])
    files[max(files)] = encoded(np.full((SIZE, SIZE, 3), [10, 20, 30]))
    as_folder(raw, files)
    prepare(raw, out, NEW)
    gray, mixed = load(out, "train.view0"), load(out, "train.view6")
    assert gray.shape == mixed.shape == (8, SIZE, SIZE, 3)
    assert (gray == gray[..., :1]).all()
    assert (mixed[:-1] == mixed[:-1, ..., :1]).all()
    assert (mixed[-1] == [10, 20, 30]).all()


def test_a_larger_rendering_is_averaged(raw, out):
    stripes = np.zeros((2 * SIZE, 2 * SIZE, 3))
    stripes[:, ::2] = 100
    as_folder(raw, {name: encoded(stripes) for name in renderings(views=[0, 6])})
    prepare(raw, out, NEW)
    assert (load(out, "train.view0") == 50).all()


# Going on after an end half way


class KilledError(BaseException):
    """What no code catches, as a kill."""


def count_decodes(monkeypatch, *, kill_after=None):
    """Count the renderings that are decoded from here on; end the run after some of them."""
    decoded = []

    def counting(content, where, size):
        if len(decoded) == kill_after:
            raise KilledError
        decoded.append(where)
        return decode(content, where, size)

    monkeypatch.setattr(modelnet40, "decode", counting)
    return decoded


def end_half_way(raw, out, monkeypatch, settings=NEW):
    first = count_decodes(monkeypatch, kill_after=11)
    with pytest.raises(KilledError):
        prepare(raw, out, settings)
    return first


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_was_done_before_a_kill_is_not_done_again(raw, out, monkeypatch, way):
    way(raw, renderings())
    first = end_half_way(raw, out, monkeypatch)
    assert not list(out.glob("[!.]*"))
    second = count_decodes(monkeypatch)
    prepare(raw, out, NEW)
    assert len(first) == 11
    assert len(second) == 28 - 11
    assert not set(first) & set(second)
    assert_prepared(out)


def test_other_settings_start_anew(raw, out, monkeypatch):
    as_folder(raw, renderings())
    end_half_way(raw, out, monkeypatch, {**NEW, "views": [0, 3]})
    again = count_decodes(monkeypatch)
    prepare(raw, out, NEW)
    assert len(again) == 28
    assert_prepared(out)


def test_another_archive_starts_anew(raw, out, monkeypatch):
    as_tar(raw, renderings())
    end_half_way(raw, out, monkeypatch)
    os.utime(raw / "modelnet40_images_new_12x.tar", (0, 0))
    again = count_decodes(monkeypatch)
    prepare(raw, out, NEW)
    assert len(again) == 28


def test_a_file_that_changed_since_it_was_read_is_read_again(raw, out, monkeypatch):
    """Whoever gave other files after an end half way would have some of both."""
    as_folder(raw, renderings())
    first = end_half_way(raw, out, monkeypatch)
    os.utime(first[3].replace(": ", "/"), (0, 0))
    again = count_decodes(monkeypatch)
    prepare(raw, out, NEW)
    assert [name for name in again if name in first] == [first[3]]
    assert_prepared(out)


def test_a_file_that_changes_while_arrays_get_their_names_starts_anew(raw, out, monkeypatch):
    as_folder(raw, renderings())
    end_while_arrays_get_their_names(raw, out, monkeypatch)
    os.utime(next(raw.rglob("*v007.png")), (0, 0))
    again = count_decodes(monkeypatch)
    prepare(raw, out, NEW)
    assert len(again) == 28
    assert_prepared(out)


def test_stand_ins_of_another_seed_start_anew(raw, out, tmp_path):
    few = {"train_per_class": 5, "test_per_class": 2}
    seven, eight = ({**OFF, "stand_in": {**few, "seed": seed}} for seed in (7, 8))
    fetch(raw, seven, mirror=None)
    next(raw.rglob("*.off")).write_bytes(b"")
    with pytest.raises(UserError, match="1 of 14 files are bad"):
        prepare(raw, out, seven)
    fetch(raw, eight, mirror=None)
    for folder in (out, tmp_path / "new"):
        prepare(raw, folder, eight)
    assert contents(out) == contents(tmp_path / "new")


def test_a_run_in_color_is_taken_up_in_color(raw, out, monkeypatch):
    files = renderings(views=[0, 6])
    as_folder(raw, files | {sorted(files)[4]: encoded(np.full((SIZE, SIZE, 3), [1, 2, 3]))})
    end_half_way(raw, out, monkeypatch)
    key = json.loads((out / ".unfinished.json").read_text())
    second = count_decodes(monkeypatch)
    prepare(raw, out, NEW)
    assert key["channels"] == 3
    assert len(second) < 28
    assert load(out, "test.view0").shape[-1] == 3


def end_while_arrays_get_their_names(raw, out, monkeypatch):
    replace = os.replace

    def killing(source, target):
        if Path(target).name == "validation.view0.npy":
            raise KilledError
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("equimodal.data.unfinished.os.replace", killing)
        with pytest.raises(KilledError):
            prepare(raw, out, NEW)


def test_a_kill_while_files_get_their_names_is_mended(raw, out, monkeypatch):
    as_folder(raw, renderings())
    end_while_arrays_get_their_names(raw, out, monkeypatch)
    again = count_decodes(monkeypatch)
    prepare(raw, out, NEW)
    assert again == []
    assert_prepared(out)


# Renderings of a mirror


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_renderings_of_a_mirror_are_linked_under_the_name_that_is_foretold(raw, out, tmp_path, way):
    """The rule that fetches them has to name its output before they are there."""
    mirror = tmp_path / "mirror/modelnet40"
    mirror.mkdir(parents=True)
    way(mirror, renderings())
    foretold = raw_files(raw, NEW, mirror=str(tmp_path / "mirror"))
    fetch(raw, NEW, mirror=str(tmp_path / "mirror"))
    assert foretold == list(raw.iterdir()) == raw_files(raw, NEW, mirror=None)
    prepare(raw, out, NEW)
    assert_prepared(out)


def test_without_a_mirror_the_archive_is_awaited_as_it_is_published(raw, tmp_path):
    for mirror in (None, str(tmp_path), "https://example.org"):
        assert raw_files(raw, NEW, mirror=mirror) == [raw / "shaded_images.tar.gz"]


def test_meshes_of_a_mirror_are_copied_under_their_published_name(raw, tmp_path):
    (tmp_path / "modelnet40/ModelNet40").mkdir(parents=True)
    assert raw_files(raw, OFF, mirror=str(tmp_path)) == [raw / "ModelNet40.zip"]


# Bad input


@pytest.mark.parametrize("other", [None, {"classes": 3}, {"seed": 8}, {"test_per_class": 3}])
def test_stand_ins_that_are_not_there_are_fetched_and_no_others_taken(raw, out, other):
    """The scales share their folder."""

    def settings(*, classes=2, **stand_in):
        few = {"train_per_class": 5, "test_per_class": 2, "seed": 7}
        return {**OFF, "classes": classes, "stand_in": few | stand_in}

    if other is not None:
        fetch(raw, settings(**other), mirror=None)
    with pytest.raises(UserError, match=r"no stand-ins, or others .* `equimodal fetch modelnet40`"):
        prepare(raw, out, settings())


def test_missing_raw_files_are_explained_with_all_sources(raw, out):
    with pytest.raises(UserError) as raised:
        prepare(raw, out, NEW)
    for said in (str(raw), "shaded_images.tar.gz", "modelnet40v1.tar", "ModelNet40.zip", "dead"):
        assert said in str(raised.value)


DAMAGES = {
    "empty": (b"", "is empty"),
    "no image": (b"not an image", "not an image or damaged"),
    "truncated": (encoded(np.eye(64) * 255)[:-30], "not an image or damaged"),
    "not square": (encoded(np.zeros((3, 5))), "5 x 3, expected a square"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_bad_rendering_is_named_and_the_others_are_kept(
    raw, out, monkeypatch, way, content, message
):
    bad = "modelnet40_images_new_12x/chair/train/chair_0003.obj.shaded_v007.png"
    way(raw, renderings() | {bad: content})
    with pytest.raises(UserError, match=f"(?s)1 of 28 files are bad.*chair_0003.*{message}"):
        prepare(raw, out, NEW)
    assert not list(out.glob("[!.]*"))
    if way is as_folder:
        as_folder(raw, {bad: renderings()[bad]})
        again = count_decodes(monkeypatch)
        prepare(raw, out, NEW)
        assert len(again) == 1
        assert_prepared(out)


def test_arrays_stay_good_until_the_first_is_replaced(raw, out):
    as_folder(raw, renderings())
    prepare(raw, out, NEW)
    before = contents(out)
    bad = next(raw.rglob("*v004.png"))
    bad.write_bytes(b"bad")
    with pytest.raises(UserError, match="1 of 28 files are bad"):
        prepare(raw, out, {**NEW, "views": [0, 3]})
    assert before.items() <= contents(out).items()
    assert not list(objections(out / NAME, settings=NEW))


def test_every_bad_rendering_is_counted_and_ten_are_named(raw, out):
    as_folder(raw, dict.fromkeys(renderings(views=[0, 6]), b"bad"))
    with pytest.raises(UserError, match=r"(?s)28 of 28 files are bad.*and 18 more"):
        prepare(raw, out, NEW, processes=2)


@pytest.mark.parametrize("content", [b"", b"OFF\n3 1 0\n0 0 0\n"], ids=["empty", "truncated"])
def test_a_bad_mesh_is_named(raw, out, content):
    modelnet40_standin.write(raw, seed=0, classes=10, train_per_class=1, test_per_class=1)
    (raw / "ModelNet40/cup/test/cup_0002.off").write_bytes(content)
    with pytest.raises(UserError, match=r"(?s)1 of 20 files are bad.*cup_0002\.off"):
        prepare(raw, out, {**OFF, "classes": 10, "validation_share": 0})


def test_a_mesh_that_is_a_point_is_named(raw, out):
    modelnet40_standin.write(raw, seed=0, classes=10, train_per_class=1, test_per_class=1)
    point = b"OFF\n1 1 0\n0 0 0\n3 0 0 0\n"
    (raw / "ModelNet40/cup/test/cup_0002.off").write_bytes(point)
    with pytest.raises(UserError, match=r"cup_0002\.off: the mesh has the extent 0"):
        prepare(raw, out, {**OFF, "classes": 10, "validation_share": 0})


def test_an_object_that_lacks_a_view_is_named(raw, out):
    files = renderings()
    del files["modelnet40_images_new_12x/bed/test/bed_0006.obj.shaded_v007.png"]
    as_folder(raw, files)
    with pytest.raises(UserError, match=r"bed/test/bed_0006 lacks view 007"):
        prepare(raw, out, NEW)


@pytest.mark.parametrize("below", ["", "train", "test"])
def test_a_class_folder_without_images_is_named(raw, out, below):
    as_folder(raw, renderings())
    (raw / "modelnet40_images_new_12x/lamp" / below).mkdir(parents=True)
    with pytest.raises(UserError, match="no images in lamp/train"):
        prepare(raw, out, {**NEW, "classes": None})


def test_another_number_of_classes_is_refused(raw, out):
    as_folder(raw, renderings())
    with pytest.raises(UserError, match="holds 2 classes, expected 40"):
        prepare(raw, out, {**NEW, "classes": 40})


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("way", [as_tar, as_gzip_tar, as_zip], ids=["tar", "compressed tar", "zip"])
def test_a_truncated_archive_is_named(raw, out, way, keep):
    way(raw, renderings())
    archive = next(raw.iterdir())
    archive.write_bytes(archive.read_bytes()[: int(keep * archive.stat().st_size)])
    with pytest.raises(UserError, match=archive.name):
        prepare(raw, out, NEW)


def test_a_tar_that_ends_between_two_members_is_truncated(raw, out):
    as_tar(raw, renderings())
    archive = raw / "modelnet40_images_new_12x.tar"
    with tarfile.open(archive) as tar:
        end = tar.getmembers()[-1].offset
    archive.write_bytes(archive.read_bytes()[:end])
    with pytest.raises(UserError, match="truncated"):
        prepare(raw, out, NEW)


def test_a_tar_with_a_damaged_header_is_not_taken_for_a_shorter_one(raw, out):
    as_tar(raw, renderings())
    archive = raw / "modelnet40_images_new_12x.tar"
    with tarfile.open(archive) as tar:
        place = tar.getmembers()[-3].offset
    content = bytearray(archive.read_bytes())
    content[place : place + 100] = bytes(range(100))
    archive.write_bytes(content)
    with pytest.raises(UserError, match=f"truncated or altered at byte {place}"):
        prepare(raw, out, NEW)


def test_a_compressed_tar_that_fails_its_checksum_is_refused(raw, out):
    as_gzip_tar(raw, renderings())
    archive = raw / "shaded_images.tar.gz"
    content = archive.read_bytes()
    archive.write_bytes(content[:-8] + bytes(4) + content[-4:])
    with pytest.raises(UserError, match="CRC"):
        prepare(raw, out, NEW)


@pytest.mark.parametrize("way", [as_tar, as_gzip_tar, as_zip], ids=["tar", "compressed tar", "zip"])
def test_an_altered_archive_gives_no_other_error(raw, out, way):
    way(raw, renderings(views=[0, 6]))
    archive = next(raw.iterdir())
    whole = archive.read_bytes()
    chance = random.Random(0)
    for _ in range(25):
        place = chance.randrange(len(whole) - 20)
        archive.write_bytes(whole[:place] + chance.randbytes(20) + whole[place + 20 :])
        with suppress(UserError):
            prepare(raw, out, NEW)
        shutil.rmtree(out, ignore_errors=True)


CLIMBING = ["../evil.png", "/evil.png", "modelnet40_images_new_12x/../../evil.png", "C:/evil.png"]


@pytest.mark.parametrize("name", CLIMBING)
@pytest.mark.parametrize("way", [as_tar, as_gzip_tar, as_zip], ids=["tar", "compressed tar", "zip"])
def test_a_path_that_climbs_out_of_an_archive_is_refused(raw, out, way, name):
    way(raw, renderings() | {name: b"evil"})
    with pytest.raises(UserError, match="climbs out"):
        prepare(raw, out, NEW)
    assert sorted(p.name for p in raw.parent.rglob("evil*")) == []


def test_a_folder_that_can_not_be_written_is_named(raw, out):
    as_folder(raw, renderings())
    out.write_text("a file")
    with pytest.raises(UserError, match="out"):
        prepare(raw, out, NEW)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_named_and_what_is_done_is_kept(raw, out, monkeypatch):
    as_folder(raw, renderings())
    end_half_way(raw, out, monkeypatch)
    part = out / ".test.view6.npy.part"
    part.rename(out / "aside")
    with monkeypatch.context() as patch:
        count_decodes(patch)
        begin = modelnet40.UnfinishedArrays.begin

        def fill_the_disk(self, key):
            (out / "aside").rename(part)
            done = begin(self, key)
            part.rename(out / "aside")
            part.symlink_to("/dev/full")
            return done

        patch.setattr(modelnet40.UnfinishedArrays, "begin", fill_the_disk)
        with pytest.raises(
            UserError, match=r"\.test\.view6\.npy\.part can not be written: No space"
        ):
            prepare(raw, out, NEW)
    part.unlink()
    (out / "aside").rename(part)
    again = count_decodes(monkeypatch)
    prepare(raw, out, NEW)
    assert len(again) < 28 - 11
    assert_prepared(out)


# The real files, where they are


@pytest.mark.skipif(
    MIRROR is None or not (Path(MIRROR) / "modelnet40").is_dir(),
    reason="EQUIMODAL_MIRROR names no folder that holds modelnet40/",
)
def test_the_real_renderings_are_ten_classes_of_80_and_20_objects(out):
    prepare(Path(MIRROR) / "modelnet40", out, {**V1, "size": 224, "classes": 10})
    assert len((out / "classes.txt").read_text().split()) == 10
    counts = {s: np.bincount(load(out, f"{s}.labels")) for s in ("train", "validation", "test")}
    assert (counts["train"] + counts["validation"] == 80).all()
    assert counts["validation"].sum() == 160
    assert (counts["test"] == 20).all()
    image = load(out, "test.view0")
    assert image.shape == (200, 224, 224, 1)
    assert (image[:, 0, 0] == 255).all()
