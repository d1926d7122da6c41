import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from equimodal.study.data import nvgesture_standin, video
from equimodal.study.data.nvgesture_list import Clip, Window, mismatched, read_list
from equimodal.study.data.prepared import EXAMPLES
from equimodal.study.data.video import read_frames
from equimodal.study.datasets import StandInClips
from equimodal.study.errors import UserError
from equimodal.study.params import MIRROR_VARIABLE
from equimodal.study.receipts import NAME, objections
from tests.study.data.helpers import CLIPS, changed, contents, dataset

# The real lists, where a mirror holds them; read now, for no test sees the variable.
REAL = Path(os.environ.get(MIRROR_VARIABLE, "/nonexistent")) / "nvgesture"

LINE = (
    "path:./Video_data/class_01/subject3_r0 depth:sk_depth:146:226 color:sk_color:146:226"
    " duo_left:duo_left:170:263 label:1 "
)


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """Write a text as a list and read it."""
    path = tmp_path_factory.mktemp("lists") / "train.lst"

    def read(text):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_list(path)

    return read


READ = Clip(
    line=1,
    folder="Video_data/class_01/subject3_r0",
    windows={
        "depth": Window("sk_depth", 146, 226),
        "color": Window("sk_color", 146, 226),
        "duo_left": Window("duo_left", 170, 263),
    },
    label=0,
    subject=3,
)
SHORT_LINE = "label:25 color:a:0:9 path:x/subject12_r34 depth:b:1:10"
SHORT_CLIP = Clip(1, "x/subject12_r34", {"color": Window("a", 0, 9), "depth": Window("b", 1, 10)}, 24, 12)  # fmt: skip


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n \n\r\n", "  \t\n"])
def test_a_line_is_read_as_what_it_says_whatever_ends_it(listed, end):
    """Fields come in any order, sensors may be missing, and the label counts, not the folder's name."""
    assert listed(LINE + end) == [READ]
    assert listed(f"{SHORT_LINE}\r\n{LINE.strip()}{end}") == [SHORT_CLIP, READ._replace(line=2)]


WRONG = {  # a field -> what stands instead of it -> what is said
    "label:1": {
        "": r"\['label'\] missing",
        "label:0": "label is 0, and there are 25 classes",
        "label:26": "label is 26, and",
        "label:1.0": "label is '1.0'",
        "label:١": "label is '١'",
        "label:1 label:2": "label stands twice",
    },
    "color:sk_color:146:226": {
        "": r"\['color'\] missing",
        "color:sk_color:226:226": "color has a window whose END",
        "color:sk_color:-1:226": "color is 'sk_color:-1:226'",
        "color:../sk_color:146:226": "color is '../sk",
    },
    "duo_left:duo_left:170:263": {"nonsense": "nonsense is ''"},
    "./Video_data": {
        "./Video_data/../../x": "leaves the folder",
        "/Video_data": "path is '/Video",
        "..\\Video_data": "path is",
    },
    "subject3_r0": {"someone": "path is .*someone"},
}
LISTS = [(old, new, said) for old, others in WRONG.items() for new, said in others.items()]


@pytest.mark.parametrize(("old", "new", "said"), LISTS)
def test_a_wrong_line_is_refused_with_its_file_its_number_and_what_was_expected(
    listed, old, new, said
):
    with pytest.raises(UserError, match=f"(?s)train.lst, line 2: .*{said}.*expected `path:"):
        listed(f"{LINE}\n{LINE.replace(old, new)}\n{LINE}")


@pytest.mark.parametrize("content", ["", f"{LINE}\n\n{LINE}", b"\xff\xfe\x00label"])
def test_what_is_no_list_is_refused(listed, content):
    with pytest.raises(UserError, match=r"train.lst.*(missing in ''|it is not UTF-8)"):
        listed(content)


@pytest.mark.skipif(not REAL.is_dir(), reason="no mirror with the real lists")
def test_the_real_lists_have_the_clips_and_the_four_mismatches_of_the_data_set():
    train, test = (
        read_list(REAL / f"nvgesture_{part}_correct_cvpr2016.lst") for part in ("train", "test")
    )
    assert (len(train), len(test)) == (1050, 482)
    assert {w.end - w.start for c in train + test for s, w in c.windows.items() if s[0] != "d"} == {
        80
    }
    assert {c.windows["depth"].end - c.windows["depth"].start for c in train + test} == {80}
    assert [c.folder.removeprefix("Video_data/") for c in mismatched(train)] == [
        "class_06/subject17_r1",
        "class_20/subject18_r2",
        "class_23/subject18_r1",
        "class_24/subject18_r2",
    ]
    assert mismatched(test) == []
    assert {c.subject for c in test} == {5, 8, 9, 13, 14, 20}
    assert not {c.subject for c in train} & {c.subject for c in test}
    assert {c.label for c in train} == {c.label for c in test} == set(range(25))


# ---- Preparation ---------------------------------------------------------------------------------

WINDOW, SHORT, SIZE = CLIPS["window"], CLIPS["short"], 16
SETTINGS = dataset(
    "nvgesture", classes=2, frames=WINDOW, size=SIZE, validation_examples=2, stand_in=None
)
SPLITS = {"train": 6, "validation": 2, "test": 4}
ARRAYS = [f"{s}.{name}" for s in SPLITS for name in ("color", "depth", "labels", "ids", "lengths")]
TRAIN, TEST = (f"nvgesture_{part}_correct_cvpr2016_v2.lst" for part in ("train", "test"))


@pytest.fixture(scope="module")
def shared_raw(tmp_path_factory):
    """The stand-in's files as if they were NVGesture's; not to be changed."""
    folder = tmp_path_factory.mktemp("raw")
    nvgesture_standin.write(folder, 2, StandInClips(**CLIPS))
    return folder


@pytest.fixture
def raw(shared_raw, tmp_path):
    """The same, to change."""
    return shutil.copytree(shared_raw, tmp_path / "raw")


@pytest.fixture(scope="module")
def prepared(shared_raw, tmp_path_factory):
    """The folder of the stand-in, prepared."""
    out = tmp_path_factory.mktemp("prepared")
    SETTINGS.prepare(shared_raw, out)
    return out


def load(folder):
    return {path.stem: np.load(path) for path in folder.glob("*.npy")}


@pytest.fixture(scope="module")
def arrays(prepared):
    return load(prepared)


@pytest.fixture
def made(shared_raw, tmp_path):
    """Prepares with some settings changed, and returns the arrays."""

    def made(**changes):
        changed(SETTINGS, **changes).prepare(shared_raw, tmp_path / "out")
        return load(tmp_path / "out")

    return made


@pytest.fixture
def decoded(monkeypatch):
    """The videos that are decoded, in order."""
    paths = []

    def note(path, *window, **options):
        paths.append(path)
        return read_frames(path, *window, **options)

    monkeypatch.setattr(video, "read_frames", note)
    return paths


def test_arrays_have_the_shapes_and_types_promised(prepared, arrays):
    frames = (WINDOW, SIZE, SIZE)
    kinds = {"color": ((*frames, 3), np.uint8), "depth": ((*frames, 1), np.uint8)}
    kinds |= {"labels": ((), np.uint8), "ids": ((), np.int32), "lengths": ((), np.int32)}
    for name, array in arrays.items():
        split, _, kind = name.partition(".")
        assert ((array.shape[1:], array.dtype), len(array)) == (kinds[kind], SPLITS[split])
    files = {f"{name}.npy" for name in ARRAYS} | {"receipt.json", "receipt.json.seen"}
    assert {path.name for path in prepared.iterdir()} == files


def test_every_row_holds_the_color_window_of_its_line_in_both_modalities(arrays, shared_raw):
    for split in SPLITS:
        clips = read_list(shared_raw / (TEST if split == "test" else TRAIN))
        for row, line in enumerate(arrays[f"{split}.ids"]):
            start, end = clips[line].span("color")
            assert arrays[f"{split}.lengths"][row] == end - start
            assert arrays[f"{split}.labels"][row] == clips[line].label
            before = (WINDOW - (end - start)) // 2
            after = before + end - start
            for sensor in ("color", "depth"):
                path = shared_raw / clips[line].folder / f"sk_{sensor}.avi"
                frames = read_frames(path, start, end, size=SIZE, gray=sensor == "depth")
                stored = arrays[f"{split}.{sensor}"][row]
                np.testing.assert_array_equal(stored[before:after], frames)
                assert not stored[:before].any()
                assert not stored[after:].any()
    lengths = [*arrays["train.lengths"], *arrays["validation.lengths"]]
    assert sorted(lengths) == [SHORT] + 7 * [WINDOW]


def test_of_a_longer_window_the_first_frames_are_stored(arrays, made):
    few = made(frames=5)
    assert few["test.lengths"].tolist() == [5] * 4
    np.testing.assert_array_equal(few["test.depth"], arrays["test.depth"][:, :5])


def test_of_a_window_every_so_manyth_frame_is_stored(arrays, made):
    thinned = made(every=3)
    for split in SPLITS:
        lengths, fewer = arrays[f"{split}.lengths"], thinned[f"{split}.lengths"]
        assert (fewer == -(-lengths // 3)).all()
        for sensor in ("color", "depth"):
            both = (arrays[f"{split}.{sensor}"], thinned[f"{split}.{sensor}"], lengths, fewer)
            for whole, thin, length, few in zip(*both, strict=True):
                first, begin = (len(whole) - length) // 2, (len(thin) - few) // 2
                expected = np.zeros((-(-WINDOW // 3), *whole.shape[1:]))
                expected[begin : begin + few] = whole[first : first + length : 3]
                np.testing.assert_array_equal(thin, expected)


def test_the_mismatched_windows_are_counted_and_reported(made, capsys):
    made()
    reported = capsys.readouterr().err
    assert "color and depth windows differ in 1 of 8 train clips; the color window" in reported
    assert "test clips" not in reported


def test_the_versions_of_the_lists_differ_in_labels_alone(arrays, made):
    differing = {name: (x != arrays[name]).sum() for name, x in made(list_version="v1").items()}
    assert sum(differing.values()) == 1
    assert sum(n for name, n in differing.items() if name.endswith("labels")) == 1


def test_validation_clips_are_the_first_that_a_seeded_shuffle_gives(arrays):
    order = list(range(8))
    random.Random(10).shuffle(order)
    assert arrays["validation.ids"].tolist() == sorted(order[:2])
    assert arrays["train.ids"].tolist() == sorted(order[2:])


def test_validation_may_be_whole_subjects_or_nothing(made, shared_raw, tmp_path):
    ids = made(validation_examples=0, validation_subjects=[2])["validation.ids"]
    assert ids.tolist() == [c.line - 1 for c in read_list(shared_raw / TRAIN) if c.subject == 2]
    shutil.rmtree(tmp_path / "out")
    whole = made(validation_examples=0)
    assert whole["train.ids"].tolist() == list(range(8))
    assert "validation.ids" not in whole


NO_VALIDATION = {
    "unknown subjects": ([1, 7], 0, r"validation_subjects has \[7\]; .* has \[1, 2, 3\]"),
    "all subjects": ([1, 2, 3], 0, "all 8 clips of .* are held out"),
    "all clips": (None, 8, "all 8 clips of .* are held out"),
}


@pytest.mark.parametrize(
    ("subjects", "examples", "problem"), NO_VALIDATION.values(), ids=NO_VALIDATION
)
def test_a_validation_that_can_not_be_is_refused(made, subjects, examples, problem):
    with pytest.raises(UserError, match=problem):
        made(validation_examples=examples, validation_subjects=subjects)


def test_examples_are_shown_of_the_stand_in_alone(prepared, tmp_path):
    assert not (prepared / EXAMPLES).exists()
    raw, out = tmp_path / "raw", tmp_path / "out"
    settings = changed(SETTINGS, stand_in=CLIPS)
    settings.fetch(raw, mirror=None)
    settings.prepare(raw, out)
    with np.load(out / EXAMPLES) as examples:
        assert examples["test.labels"].tolist() == [0, 1]
        assert examples["test.color"].shape == (2, 3, SIZE, SIZE, 3)
        stored = np.load(out / "test.depth.npy")
        np.testing.assert_array_equal(examples["test.depth"][1], stored[2, [2, 4, 6]])


# ---- Trouble -------------------------------------------------------------------------------------


def test_a_damaged_video_is_named_the_others_are_kept_and_processes_go_on_to_the_same_bytes(
    raw, prepared, tmp_path, decoded
):
    clips = read_list(raw / TRAIN)
    damaged, replaced = (raw / clips[row].folder / "sk_color.avi" for row in (4, 6))
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        UserError, match=r"(?s)1 of 12 are bad.*v2.lst, line 5: .*sk_color.avi .*res"
    ):
        SETTINGS.prepare(raw, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.npy"))
    shutil.copytree(tmp_path / "out", tmp_path / "other settings")
    shutil.copytree(tmp_path / "out", tmp_path / "two processes")
    damaged.write_bytes(content)
    os.utime(replaced, ns=(1, 1))
    decoded.clear()
    SETTINGS.prepare(raw, tmp_path / "out")
    assert {path.parent for path in decoded} == {damaged.parent, replaced.parent}
    SETTINGS.prepare(raw, tmp_path / "two processes", processes=2)
    for name in ("out", "two processes"):
        assert contents(tmp_path / name) == contents(prepared)
    decoded.clear()
    changed(SETTINGS, size=12).prepare(raw, tmp_path / "other settings")
    assert len(decoded) == 24


def relist(path, change):
    """Change the first line of a list."""
    first, _, rest = path.read_text().partition("\n")
    path.write_text(change(first) + "\n" + rest)


def test_a_color_window_may_end_a_frame_after_the_depth_video_if_the_list_says_so(raw, tmp_path):
    folder = read_list(raw / TEST)[0].folder
    # As in the real lists: color 161:241, depth 160:240; and a depth video of 240 frames.
    color, _ = nvgesture_standin.draw(
        np.random.default_rng(0), 0, size=(32, 32), recorded=15, start=3, length=WINDOW
    )
    nvgesture_standin._write_avi(raw / folder / "sk_color.avi", color, "mjpeg", {})
    line = f"path:./{folder} depth:sk_depth:{{}}:{{}} color:sk_color:7:15 label:1"
    relist(raw / TEST, lambda _: line.format(6, 14))
    SETTINGS.prepare(raw, tmp_path / "out")
    depth = np.load(tmp_path / "out/test.depth.npy")[0]
    np.testing.assert_array_equal(depth[7], depth[6])
    relist(raw / TEST, lambda _: line.format(7, 15))
    with pytest.raises(UserError, match=r"sk_depth.avi ends too early"):
        SETTINGS.prepare(raw, tmp_path / "out")


def test_labels_without_a_class_are_refused_and_the_arrays_stay_good(raw, tmp_path):
    """They take hours to make."""
    SETTINGS.prepare(raw, tmp_path / "out")
    (raw / TEST).write_text((raw / TEST).read_text().replace("label:2", "label:7"))
    with pytest.raises(UserError, match=r"test_.*_v2.lst has labels up to 7, but classes is 2"):
        SETTINGS.prepare(raw, tmp_path / "out")
    assert not list(objections(tmp_path / "out" / NAME, settings=SETTINGS.preparation))
