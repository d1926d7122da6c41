import io
import os
import random
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equimodal.study.data import modelnet40
from equimodal.study.data.images import decode
from equimodal.study.data.render import draw
from equimodal.study.errors import UserError
from tests.study.data.helpers import VIEW, KilledError, changed, dataset, read_off

MIRROR = os.environ.get("EQUIMODAL_MIRROR")  # read here: a fixture hides it from the tests
CLASSES = ("bed", "chair")
TOP = "modelnet40_images_new_12x"
TRAIN, TEST = 5, 2
SPLITS = {"train": range(TRAIN), "test": range(TRAIN, TRAIN + TEST)}  # numbers of the objects
SIZE = 8


def settings(source="new_12x", views=(0, 6), **changes):
    few = {"classes": 2, "size": SIZE, "sources": {f"view{v}": VIEW for v in views}}
    return dataset("modelnet40", source=source, **few | changes)


NEW = settings()


def stand_ins(train=5, test=1, *, classes=2, seed=0, **changes):
    made = {"train_per_class": train, "test_per_class": test, "seed": seed}
    return settings("meshes", classes=classes, stand_in=made, **changes)


HELD_OUT = list(range(10))
random.Random(10).shuffle(HELD_OUT)
HELD_OUT = sorted(HELD_OUT[:2])


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def encoded(pixels, kind="PNG"):
    return saved(Image.fromarray(np.asarray(pixels, np.uint8)), kind)


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
        for split, numbers in SPLITS.items()
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


def assert_prepared(out):
    """All arrays hold the squares that `renderings` put where they are looked for."""
    assert (out / "classes.txt").read_text() == "bed\nchair\n"
    trained = [i for i in range(10) if i not in HELD_OUT]
    for split, ids in {"train": trained, "validation": HELD_OUT, "test": range(4)}.items():
        count, first = (TEST, TRAIN) if split == "test" else (TRAIN, 0)
        labels, numbers = [i // count for i in ids], [first + i % count for i in ids]
        assert load(out, f"{split}.ids").tolist() == list(ids)
        assert load(out, f"{split}.labels").tolist() == labels
        names = [f"{CLASSES[c]}_{n:04d}" for c, n in zip(labels, numbers, strict=True)]
        assert (out / f"{split}.names.txt").read_text().splitlines() == names
        for view in (0, 6):
            array = load(out, f"{split}.view{view}")
            assert (array.shape, array.dtype) == ((len(ids), SIZE, SIZE, 1), np.uint8)
            expected = [level(c, n, view) for c, n in zip(labels, numbers, strict=True)]
            assert (array == np.array(expected)[:, None, None, None]).all()


def moved(old, new):
    return {n.replace(old, new, 1): c for n, c in renderings().items()}


def without(name):
    return {n: c for n, c in renderings().items() if name not in n}


def also(content, *names):
    return renderings() | dict.fromkeys(names, content)


JUNK = ["a.txt", f"{TOP}/.DS_Store", f"__MACOSX/{TOP}/lamp/._x.png", f"{TOP}/bed/train/._bed.png"]
COMING = {  # how the renderings come
    **{name: (way, renderings()) for name, way in WAYS.items()},
    "one deeper": (as_folder, moved(TOP, f"{TOP}/{TOP}")),
    "in a folder of the archive's name": (as_folder, moved(TOP, f"shaded_images/{TOP}")),
    "by another name": (as_folder, moved(TOP, "renderings")),
    "without a folder of its own": (as_folder, moved(f"{TOP}/", "")),
    "far down": (as_folder, moved(TOP, f"{TOP}/a/b")),
    "an archive, by another name": (as_tar, moved(TOP, "modelnet40v1")),
    "an archive, far down": (as_tar, moved(TOP, "data/mvcnn/modelnet40v1")),
    "an archive, without a folder": (as_tar, moved(f"{TOP}/", "")),
    "a view that is not asked for is bad": (as_folder, also(b"bad", *renderings(views=[3]))),
    "what systems leave behind": (as_zip, also(b"junk", *JUNK)),
}


@pytest.mark.parametrize(("way", "files"), COMING.values(), ids=COMING)
def test_each_view_comes_to_its_place_however_the_renderings_come(raw, out, way, files):
    way(raw, files)
    assert NEW.raw_files(raw, mirror=None)[0].exists()
    NEW.prepare(raw, out, processes=2 if way is as_gzip_tar else 1)
    assert_prepared(out)
    assert not list(out.glob(".*"))


def test_v1_is_read_as_well_in_gray_and_averaged(raw, out):
    """Colors are weighed as luma; a rendering has none."""
    files = {n: c for n, c in renderings("v1").items() if "bed_000000005" not in n}
    name = "modelnet40v1/bed/test/bed_000000005_{:03d}.jpg"
    stripes = np.zeros((2 * SIZE, 2 * SIZE, 3))
    stripes[:, ::2] = 100
    files |= {name.format(view + 1): encoded(stripes, "PNG") for view in range(12)}
    as_tar(raw, files, "modelnet40v1-part.tar")
    settings("v1", validation_share=0).prepare(raw, out)
    names = (out / "test.names.txt").read_text().splitlines()
    assert names == ["bed_000000005", "bed_000000006", "chair_000000005", "chair_000000006"]
    levels = load(out, "test.view6")[:, 0, 0, 0]
    expected = [level(c, n, 6) for c, n in ((0, 6), (1, 5), (1, 6))]
    assert levels == pytest.approx([50, *expected], abs=1)
    assert len(load(out, "train.labels")) == 10
    assert not list(out.glob("validation*"))


def test_some_of_the_classes_are_taken_by_name(raw, out, tmp_path):
    """The same arrays as if the others were not there, whatever is wrong with them."""
    as_folder(raw, renderings() | {f"{TOP}/lamp/train/lamp_0001.obj.shaded_v001.png": b""})
    settings(classes=["chair", "bed"]).prepare(raw, out)
    assert_prepared(out)
    with pytest.raises(UserError, match=r"(?s)no class \['sofa'\].*bed.*chair.*lamp"):
        settings(classes=["bed", "sofa"]).prepare(raw, tmp_path / "other")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Stand-ins of two classes; not to be changed."""
    folder = tmp_path_factory.mktemp("drawn") / "raw"
    stand_ins().fetch(folder, mirror=None)
    return folder


@pytest.fixture
def meshes(drawn, raw):
    """The same as if they were ModelNet40's, to change."""
    shutil.copytree(drawn / "ModelNet40", raw / "ModelNet40")
    return raw / "ModelNet40"


def test_meshes_are_rendered_as_in_new_12x(meshes, raw, out):
    settings("meshes", size=32).prepare(raw, out)
    path = meshes / "airplane/test/airplane_0006.off"
    drawn = draw(read_off(path), [0, 6], size=32)
    assert (out / "test.names.txt").read_text().startswith("airplane_0006\n")
    for view, image in zip((0, 6), drawn, strict=True):
        assert (load(out, f"test.view{view}")[0, ..., 0] == image).all()
    assert not (out / "examples.npz").exists()


# Going on after an end half way


def count_decodes(monkeypatch, *, kill_after=None):
    """Count the renderings that are decoded from here on; end the run after some of them."""
    decoded = []

    def counting(content, where):
        if len(decoded) == kill_after:
            raise KilledError
        decoded.append(where)
        return decode(content, where)

    monkeypatch.setattr(modelnet40, "decode", counting)
    return decoded


def end_half_way(raw, out, monkeypatch, asked=NEW):
    first = count_decodes(monkeypatch, kill_after=11)
    with pytest.raises(KilledError):
        asked.prepare(raw, out)
    return first


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_was_done_before_a_kill_is_not_done_again_unless_it_is_replaced(
    raw, out, monkeypatch, way
):
    way(raw, renderings())
    first = end_half_way(raw, out, monkeypatch)
    replaced = first[3:4] if way is as_folder else []  # an archive is replaced as a whole
    for name in replaced:
        os.utime(name.replace(": ", "/"), (0, 0))
    assert not list(out.glob("[!.]*"))
    again = count_decodes(monkeypatch)
    NEW.prepare(raw, out)
    assert len(again) == 28 - 11 + len(replaced)
    assert {*first} & {*again} == {*replaced}
    assert_prepared(out)


# Renderings of a mirror


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("below", ["", "deeper"])
def test_renderings_of_a_mirror_are_linked_under_the_name_that_is_foretold(
    raw, out, tmp_path, way, below
):
    """The rule that fetches them has to name its output before they are there."""
    mirror = tmp_path / "mirror/modelnet40" / below
    mirror.mkdir(parents=True)
    way(mirror, renderings())
    foretold = NEW.raw_files(raw, mirror=str(tmp_path / "mirror"))
    NEW.fetch(raw, mirror=str(tmp_path / "mirror"))
    assert foretold == list(raw.iterdir()) == NEW.raw_files(raw, mirror=None)
    NEW.prepare(raw, out)
    assert_prepared(out)


def test_modelnet10_is_taken_where_ten_classes_are_asked_for(raw, out):
    mesh = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    places = [f"ModelNet10/c{c}/{split}/c{c}_1.off" for c in range(10) for split in SPLITS]
    as_folder(raw, dict.fromkeys(places, mesh))
    ten = settings("meshes", classes=10)
    assert ten.raw_files(raw, mirror=None) == [raw / "ModelNet10"]
    ten.prepare(raw, out)
    assert load(out, "test.labels").tolist() == list(range(10))
    assert changed(ten, stand_in=None).sizes == {"train": 3193, "validation": 798, "test": 908}


# Bad input


def test_missing_raw_files_are_explained_with_all_sources(raw, out):
    for verb in (lambda: NEW.prepare(raw, out), lambda: NEW.fetch(raw, mirror=None)):
        with pytest.raises(UserError) as raised:
            verb()
        names = ("shaded_images.tar.gz", "modelnet40v1.tar", "ModelNet40.zip")
        for said in (str(raw), *names, "dead"):
            assert said in str(raised.value)


BAD = f"{TOP}/chair/train/chair_0003.obj.shaded_v007.png"
BAD_IMAGES = {
    "empty": (b"", "no image"),
    "truncated": (encoded(np.eye(64) * 255)[:-30], "no image"),
    "not square": (encoded(np.zeros((3, 5))), "5 x 3, expected a square"),
    "16 bits": (saved(Image.fromarray(np.full((8, 8), 40_000, np.uint16)), "PNG"), "more than 8 bits"),
    "floats": (saved(Image.fromarray(np.full((8, 8), 0.5, np.float32)), "TIFF"), "more than 8 bits"),
    "a bomb": (encoded(np.zeros((1, 1)))[:16] + b"\0\1\0\0" * 2 + b"\x08\0\0\0\0", "absurd size"),
    "a file of absurd size": (None, "it has 1,000 bytes, expected 999 at most"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), BAD_IMAGES.values(), ids=BAD_IMAGES)
@pytest.mark.parametrize("way", [as_folder, as_zip], ids=["folder", "zip"])
def test_a_bad_rendering_is_named(raw, out, monkeypatch, way, content, said):
    monkeypatch.setattr("equimodal.study.data.archive.LARGEST", 999)
    way(raw, renderings() | {BAD: bytes(1000) if content is None else content})
    with pytest.raises(UserError, match=rf"(?s)chair_0003.*{said}"):
        NEW.prepare(raw, out)
    assert not list(out.glob("[!.]*"))


def test_bad_meshes_are_named(meshes, raw, out):
    (meshes / "bottle/test/bottle_0006.off").write_bytes(b"OFF\n3 1 0\n0 0 0\n")
    (meshes / "bottle/train/bottle_0001.off").write_bytes(b"OFF\n1 1 0\n0 0 0\n3 0 0 0\n")
    with pytest.raises(UserError) as raised:
        settings("meshes").prepare(raw, out)
    lines = ["2 of 12 are bad", "bottle_0001.off: the mesh has the extent 0", "bottle_0006.off is"]
    assert [said for said in lines if said not in str(raised.value)] == []


INCOMPLETE = {
    "a view": (without("bed_0006.obj.shaded_v007"), ["bed/test/bed_0006 lacks view 007"]),
    "a class too many": (
        renderings() | moved("chair/train", "lamp/train"),
        ["no images in lamp/test", "3 classes, expected 2"],
    ),
    "everything": ({f"{TOP}/bed/x.png": b""}, ["no images in folders <class>/train and"]),
    "one place": (renderings() | moved(TOP, f"{TOP}/copy"), ["leave those of one data set there"]),
    "a name": ({n.replace("chair", "a\nb"): c for n, c in renderings().items()}, [r"'a\nb', which is no"]),
    "much": (
        {n: c for n, c in without("v007").items() if "chair/test" not in n},
        ["no images in chair/test", "bed/test/bed_0005 lacks view 007", "and"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "said"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_all_that_is_missing_is_said_at_once(raw, out, files, said):
    as_zip(raw, files)
    with pytest.raises(UserError) as raised:
        NEW.prepare(raw, out)
    assert [s for s in said if s not in str(raised.value)] == []


def test_a_share_that_leaves_a_split_empty_is_refused(raw, out):
    as_folder(raw, renderings(views=[0, 6]))
    with pytest.raises(UserError, match=r"validation_share 0\.05 of 10"):
        settings(validation_share=0.05).prepare(raw, out)


def test_what_a_killed_process_left_is_removed_and_never_read(raw, out):
    as_folder(raw, renderings())
    litter = [raw / TOP / "bed/train/.x.png.part7", raw / ".a.part123", out / ".a.npy.part99"]
    for path in litter:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    NEW.fetch(raw, mirror=None)
    NEW.prepare(raw, out)
    assert_prepared(out)
    assert not any(path.exists() for path in litter[1:])


def header(content):
    """Where the header of the last member but two of a tar lies."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return tar.getmembers()[-3].offset


def half(content):
    return content[: len(content) // 2]


def with_header(content):
    return content[: header(content)] + bytes(range(100)) + content[header(content) + 100 :]


DAMAGES = {  # also what the readers of the standard library take for a whole archive
    "a tar that is cut": (as_tar, half, "is damaged"),
    "a tar that ends between two members": (as_tar, lambda c: c[: header(c)], "truncated"),
    "a tar with a damaged header": (as_tar, with_header, r"truncated or altered at byte \d+"),
    "a compressed tar that is cut": (as_gzip_tar, half, "is damaged"),
    "a compressed tar with another checksum": (
        *(as_gzip_tar, lambda c: c[:-8] + bytes(4) + c[-4:], "CRC"),
    ),
    "a zip that is cut": (as_zip, half, "is damaged"),
}


@pytest.mark.parametrize(("way", "damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_archive_is_named(raw, out, way, damage, said):
    way(raw, renderings())
    (archive,) = raw.iterdir()
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(
        UserError, match=f"(?s){archive.name} is damaged .*{said}.*get it again|{said}"
    ):
        NEW.prepare(raw, out)


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "C:/evil.png"])
@pytest.mark.parametrize("way", [as_tar, as_zip], ids=["tar", "zip"])
def test_a_path_that_climbs_out_of_an_archive_is_refused(raw, out, way, name):
    way(raw, renderings() | {name: b"evil"})
    with pytest.raises(UserError, match="climbs out"):
        NEW.prepare(raw, out)


# The real files, where they are


@pytest.mark.skipif(
    MIRROR is None or not (Path(MIRROR) / "modelnet40").is_dir(),
    reason="EQUIMODAL_MIRROR names no folder that holds modelnet40/",
)
def test_the_real_renderings_are_ten_classes_of_80_and_20_objects(out):
    settings("v1", (0,), size=224, classes=10).prepare(Path(MIRROR) / "modelnet40", out)
    assert len((out / "classes.txt").read_text().split()) == 10
    counts = {s: np.bincount(load(out, f"{s}.labels")) for s in ("train", "validation", "test")}
    assert (counts["train"] + counts["validation"] == 80).all()
    assert counts["validation"].sum() == 160
    assert (counts["test"] == 20).all()
    image = load(out, "test.view0")
    assert image.shape == (200, 224, 224, 1)
    assert (image[:, 0, 0] == 255).all()
