import io
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

from equimodal.study.data import modelnet40
from equimodal.study.data.modelnet40 import Shape, decode
from equimodal.study.data.render import draw
from equimodal.study.errors import UserError
from equimodal.study.receipts import NAME, objections
from tests.study.data.helpers import VIEW, changed, contents, dataset, read_off

MIRROR = os.environ.get("EQUIMODAL_MIRROR")  # read here: a fixture hides it from the tests
CLASSES = ("bed", "chair")
TOP = "modelnet40_images_new_12x"
TRAIN, TEST = 5, 2
SPLITS = {"train": range(TRAIN), "test": range(TRAIN, TRAIN + TEST)}  # numbers of the objects
SIZE = 8


def settings(source="new_12x", views=(0, 6), **changes):
    few = {"classes": 2, "size": SIZE, "sources": {f"view{v}": VIEW for v in views}}
    return dataset("modelnet40", source=source, **few | changes)


NEW, V1 = settings(), settings("v1")


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


def test_v1_is_read_as_well(raw, out):
    as_tar(raw, renderings("v1"), "modelnet40v1-part.tar")
    V1.prepare(raw, out)
    names = (out / "test.names.txt").read_text().splitlines()
    assert names == ["bed_000000005", "bed_000000006", "chair_000000005", "chair_000000006"]
    levels = load(out, "test.view6")[:, 0, 0, 0]
    assert levels == pytest.approx([level(c, n, 6) for c in (0, 1) for n in (5, 6)], abs=1)


def test_some_of_the_classes_are_taken_by_name(raw, out, tmp_path):
    """The same arrays as if the others were not there, whatever is wrong with them."""
    as_folder(raw, renderings() | {f"{TOP}/lamp/train/lamp_0001.obj.shaded_v001.png": b""})
    settings(classes=["chair", "bed"]).prepare(raw, out)
    assert_prepared(out)
    with pytest.raises(UserError, match=r"(?s)no class \['sofa'\].*bed.*chair.*lamp"):
        settings(classes=["bed", "sofa"]).prepare(raw, tmp_path / "other")
    assert settings(classes=["bed", "sofa"]).class_count == 2


OWN = settings("own", sources=dict.fromkeys(("front", "top_left", "001"), VIEW), folder="shop")


def own_images():
    """Of three views, one kind of name each; the folder has more views than are asked for."""
    names = {"front": "{}_front.png", "top_left": "{}-top_left.JPG", "001": "{}.001.jpeg"}
    return {
        f"shop/{name}/{split}/" + file.format(f"my {name} {number}"): encoded(
            np.full((SIZE, SIZE), level(label, number, place)), "PNG" if place == 0 else "JPEG"
        )
        for label, name in enumerate(CLASSES)
        for split, numbers in SPLITS.items()
        for number in numbers
        for place, file in enumerate([*names.values(), "{}_rear.png"])
    }


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_views_of_ones_own_are_called_as_one_likes(raw, out, way):
    way(raw, own_images())
    OWN.prepare(raw, out)
    assert (out / "test.names.txt").read_text().splitlines() == [
        *("my bed 5", "my bed 6", "my chair 5", "my chair 6")
    ]
    for place, view in enumerate(("front", "top_left", "001")):
        levels = [level(c, n, place) for c in (0, 1) for n in (5, 6)]
        assert load(out, f"test.{view}")[:, 0, 0, 0] == pytest.approx(levels, abs=1)
    assert OWN.raw == "shop"


def test_what_is_wrong_with_images_of_ones_own_is_said(raw, out):
    files = own_images() | {"shop/bed/train/my bed 0_front.jpg": b""}
    del files["shop/chair/test/my chair 6.001.jpeg"]
    as_folder(raw, files)
    with pytest.raises(UserError) as raised:
        OWN.prepare(raw, out)
    for said in ("my bed 0_front.png", "my bed 0_front.jpg", "my chair 6 lacks view 001"):
        assert said in str(raised.value)


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


def test_drawing_without_embree_is_said_once(meshes, raw, out, monkeypatch, capfd):
    monkeypatch.setattr("trimesh.ray.has_embree", False)
    settings("meshes").prepare(raw, out)
    assert capfd.readouterr().err.count("embreex is not installed") == 1


def test_examples_are_kept_of_stand_ins(drawn, out):
    stand_ins(size=32).prepare(drawn, out)
    with np.load(out / "examples.npz") as examples:
        assert examples["test.view6"].shape == (2, 32, 32, 1)
        assert examples["test.labels"].tolist() == [0, 1]


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
    settings(validation_share=0).prepare(raw, out)
    assert len(load(out, "train.labels")) == 10
    assert not list(out.glob("validation*"))


def test_a_share_that_leaves_a_split_empty_is_refused(raw, out):
    as_folder(raw, renderings(views=[0, 6]))
    with pytest.raises(UserError, match=r"validation_share 0\.05 of 10"):
        settings(validation_share=0.05).prepare(raw, out)


def test_color_is_kept_where_a_single_rendering_has_it(raw, out):
    files = renderings(views=[0, 6])
    files[max(files)] = encoded(np.full((SIZE, SIZE, 3), [10, 20, 30]))
    as_folder(raw, files)
    NEW.prepare(raw, out)
    gray, mixed = load(out, "train.view0"), load(out, "train.view6")
    assert gray.shape == mixed.shape == (8, SIZE, SIZE, 3)
    assert (gray == gray[..., :1]).all()
    assert (mixed[:-1] == mixed[:-1, ..., :1]).all()
    assert (mixed[-1] == [10, 20, 30]).all()


def test_a_larger_rendering_is_averaged(raw, out):
    stripes = np.zeros((2 * SIZE, 2 * SIZE, 3))
    stripes[:, ::2] = 100
    as_folder(raw, {name: encoded(stripes) for name in renderings(views=[0, 6])})
    NEW.prepare(raw, out)
    assert (load(out, "train.view0") == 50).all()


# Going on after an end half way


class KilledError(BaseException):
    """What no code catches, as a kill."""


def count_decodes(monkeypatch, *, kill_after=None):
    """Count the renderings that are decoded from here on; end the run after some of them."""
    decoded = []

    def counting(content, where, size, **options):
        if len(decoded) == kill_after:
            raise KilledError
        decoded.append(where)
        return decode(content, where, size, **options)

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


def test_another_archive_starts_anew(raw, out, monkeypatch):
    as_tar(raw, renderings())
    end_half_way(raw, out, monkeypatch)
    os.utime(raw / "modelnet40_images_new_12x.tar", (0, 0))
    again = count_decodes(monkeypatch)
    NEW.prepare(raw, out)
    assert len(again) == 28


def test_a_run_in_color_is_taken_up_in_color(raw, out, monkeypatch):
    files = renderings(views=[0, 6])
    as_folder(raw, files | {sorted(files)[4]: encoded(np.full((SIZE, SIZE, 3), [1, 2, 3]))})
    end_half_way(raw, out, monkeypatch)
    second = count_decodes(monkeypatch)
    NEW.prepare(raw, out)
    assert 0 < len(second) < 28
    assert load(out, "test.view0").shape[-1] == 3


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


AWAITED = {
    "renderings": (NEW, "shaded_images.tar.gz"),
    "meshes": (settings("meshes", classes=40), "ModelNet40.zip"),  # whatever a mirror has
    "a quarter of the classes": (settings("meshes", classes=10), "ModelNet10.zip"),
}


@pytest.mark.parametrize(("asked", "name"), AWAITED.values(), ids=AWAITED)
def test_what_is_not_there_is_awaited_as_it_is_published(raw, tmp_path, asked, name):
    (tmp_path / "modelnet40/ModelNet40").mkdir(parents=True)
    mirrors = [None, "https://example.org", str(tmp_path) if asked.classes == 40 else None]
    for mirror in mirrors:
        assert asked.raw_files(raw, mirror=mirror) == [raw / name]


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


def test_16_bits_are_scaled_and_not_clipped():
    deep = np.repeat(np.array([0, 128, 129, 32_767, 65_535], np.uint16)[:, None], 5, 1)
    content = saved(Image.fromarray(deep), "PNG")
    assert decode(content, "it", 5)[:, 0, 0].tolist() == [0, 0, 1, 127, 255]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_what_is_seen_through_is_refused_of_ones_own_and_what_is_not_is_taken(mode):
    """A palette or a gray may have a transparent entry, and the others an alpha channel."""
    image = Image.fromarray(np.eye(4, dtype=np.uint8) * 255).convert(mode)
    assert decode(saved(image, "PNG"), "it", 4, opaque=True).shape == (4, 4, 1)
    black = {"RGB": (0, 0, 0)}.get(mode, 0)
    if mode in ("LA", "RGBA"):
        image.putalpha(254)
    through = saved(image, "PNG", **({} if "A" in mode else {"transparency": black}))
    with pytest.raises(UserError, match="it is transparent in places"):
        decode(through, "it", 4, opaque=True)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_what_has_8_bits_or_less_looks_as_it_did(mode):
    image = Image.fromarray(np.eye(4, dtype=np.uint8) * 255).convert("RGB").convert(mode)
    pixels = decode(saved(image, "TIFF"), "it", 4)[..., 0]
    assert pixels.tolist() == (255 * np.eye(4)).tolist()


def in_mode(mode):
    return saved(Image.fromarray(np.full((4, 4), 0.5, np.float32)).convert(mode), "TIFF")


DAMAGES = {
    "empty": (b"", "is empty"),
    "no image": (b"not an image", "not an image or damaged"),
    "truncated": (encoded(np.eye(64) * 255)[:-30], "not an image or damaged"),
    "not square": (encoded(np.zeros((3, 5))), "5 x 3, expected a square"),
    "floats": (in_mode("F"), "pixels of the kind 'F', whose white is not known"),
    "32 bits": (in_mode("I"), "pixels of the kind 'I', whose white is not known"),
    "a bomb": (
        encoded(np.zeros((1, 1)))[:16] + b"\0\1\0\0" * 2 + b"\x08\0\0\0\0",
        "not an image or damaged",
    ),
}


@pytest.mark.parametrize(("content", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_bad_image_is_refused(content, message):
    with pytest.raises(UserError, match=f"it .*{message}"):
        decode(content, "it", SIZE)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_bad_rendering_is_named(raw, out, way):
    bad = f"{TOP}/chair/train/chair_0003.obj.shaded_v007.png"
    way(raw, renderings() | {bad: b"not an image"})
    with pytest.raises(UserError, match=r"(?s)1 of 28 are bad.*chair_0003.*not an image"):
        NEW.prepare(raw, out)
    assert not list(out.glob("[!.]*"))


def test_arrays_stay_good_until_the_first_is_replaced(raw, out):
    as_folder(raw, renderings())
    NEW.prepare(raw, out)
    before = contents(out)
    bad = next(raw.rglob("*v004.png"))
    bad.write_bytes(b"bad")
    with pytest.raises(UserError, match="1 of 28 are bad"):
        settings(views=(0, 3)).prepare(raw, out)
    assert before.items() <= contents(out).items()
    assert not list(objections(out / NAME, settings=NEW.preparation))


BAD_MESHES = {
    "truncated": (b"OFF\n3 1 0\n0 0 0\n", "ends before"),
    "a point": (b"OFF\n1 1 0\n0 0 0\n3 0 0 0\n", "the mesh has the extent 0"),
}


@pytest.mark.parametrize(("content", "message"), BAD_MESHES.values(), ids=BAD_MESHES)
def test_a_bad_mesh_is_named(meshes, raw, out, content, message):
    (meshes / "bottle/test/bottle_0006.off").write_bytes(content)
    with pytest.raises(UserError, match=rf"(?s)1 of 12 are bad.*bottle_0006\.off.*{message}"):
        settings("meshes").prepare(raw, out)


INCOMPLETE = {
    "a view": (without("bed_0006.obj.shaded_v007"), ["bed/test/bed_0006 lacks view 007"]),
    "a folder": (without("chair/test"), ["no images in chair/test"]),
    "files of a class": (
        also(b"", f"{TOP}/lamp/train/x.txt"),
        ["no images in lamp/train", "no images in lamp/test", "3 classes, expected 2"],
    ),
    "everything": ({f"{TOP}/bed/x.png": b""}, ["no images in folders <class>/train and"]),
    "one place": (
        renderings() | moved(TOP, f"{TOP}/copy"),
        ["leave those of one data set there"],
    ),
    "a name": (
        {n.replace("chair", "a\nb"): c for n, c in renderings().items()},
        [r"'a\nb', which is no"],
    ),
    "much": (
        {n: c for n, c in without("v007").items() if "chair/test" not in n},
        ["no images in chair/test", "bed/test/bed_0005 lacks view 007", "and"],
    ),
}


@pytest.mark.parametrize("way", [as_folder, as_tar, as_zip], ids=["folder", "tar", "zip"])
@pytest.mark.parametrize(("files", "said"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_all_that_is_missing_is_said_at_once(raw, out, way, files, said):
    way(raw, files)
    with pytest.raises(UserError) as raised:
        NEW.prepare(raw, out)
    assert [s for s in said if s not in str(raised.value)] == []


@pytest.mark.parametrize("below", ["", "train", "test"])
def test_an_empty_folder_of_a_class_is_named(raw, out, below):
    as_folder(raw, renderings())
    (raw / TOP / "lamp" / below).mkdir(parents=True)
    with pytest.raises(UserError, match=r"(?s)no images in lamp/train.*3 classes, expected 2"):
        NEW.prepare(raw, out)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_member_of_absurd_size_is_not_read(raw, out, monkeypatch, way):
    monkeypatch.setattr("equimodal.study.data.archive.LARGEST", 10)
    way(raw, renderings())
    with pytest.raises(UserError, match=r"it has \d+ bytes, expected 10 at most"):
        NEW.prepare(raw, out)


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


archives = pytest.mark.parametrize(
    "way", [as_tar, as_gzip_tar, as_zip], ids=["tar", "compressed tar", "zip"]
)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
@archives
def test_a_truncated_archive_is_named(raw, out, way, keep):
    way(raw, renderings())
    (archive,) = raw.iterdir()
    archive.write_bytes(archive.read_bytes()[: int(keep * archive.stat().st_size)])
    with pytest.raises(UserError, match=f"{archive.name} is damaged .*; get it again"):
        NEW.prepare(raw, out)


def header(archive, number):
    """Where the header of a member of a tar lies."""
    with tarfile.open(archive) as tar:
        return tar.getmembers()[number].offset


ALTERED = {  # what the readers of the standard library take for a whole archive
    "a tar that ends between two members": (as_tar, lambda c, h: c[:h], "truncated"),
    "a tar with a damaged header": (
        *(as_tar, lambda c, h: c[:h] + bytes(range(100)) + c[h + 100 :]),
        r"truncated or altered at byte \d+",
    ),
    "a compressed tar with another checksum": (
        *(as_gzip_tar, lambda c, _: c[:-8] + bytes(4) + c[-4:]),
        "CRC",
    ),
}


@pytest.mark.parametrize(("way", "alter", "said"), ALTERED.values(), ids=ALTERED)
def test_an_archive_that_looks_like_a_shorter_one_is_refused(raw, out, way, alter, said):
    way(raw, renderings())
    (archive,) = raw.iterdir()
    archive.write_bytes(alter(archive.read_bytes(), header(archive, -3)))
    with pytest.raises(UserError, match=said):
        NEW.prepare(raw, out)


@archives
def test_an_altered_archive_gives_no_other_error(raw, out, way):
    way(raw, renderings(views=[0, 6]))
    (archive,) = raw.iterdir()
    whole, chance = archive.read_bytes(), random.Random(0)
    for _ in range(25):
        place = chance.randrange(len(whole) - 20)
        archive.write_bytes(whole[:place] + chance.randbytes(20) + whole[place + 20 :])
        with suppress(UserError):
            NEW.prepare(raw, out)
        shutil.rmtree(out, ignore_errors=True)


CLIMBING = ["../evil.png", "/evil.png", "modelnet40_images_new_12x/../../evil.png", "C:/evil.png"]


@pytest.mark.parametrize("name", CLIMBING)
@archives
def test_a_path_that_climbs_out_of_an_archive_is_refused(raw, out, way, name):
    way(raw, renderings() | {name: b"evil"})
    with pytest.raises(UserError, match="climbs out"):
        NEW.prepare(raw, out)
    assert sorted(p.name for p in raw.parent.rglob("evil*")) == []


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
