import os
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equimodal.study.data import nvgesture, nvgesture_standin, video
from equimodal.study.data.nvgesture_list import Clip, Window, mismatched, read_list
from equimodal.study.data.prepared import EXAMPLES
from equimodal.study.data.video import read_frames
from equimodal.study.datasets import StandInClips
from equimodal.study.errors import UserError
from equimodal.study.params import MIRROR_VARIABLE
from equimodal.study.receipts import NAME, objections
from tests.study.data.helpers import CLIPS, changed, contents, dataset, read_or_refuse

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


def test_a_line_of_the_real_lists_is_read_as_what_it_says(listed):
    assert listed(LINE) == [
        Clip(
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
    ]


def test_the_label_counts_and_not_the_folder_s_name(listed):
    (clip,) = listed(LINE.replace("label:1", "label:25"))
    assert (clip.folder, clip.label) == ("Video_data/class_01/subject3_r0", 24)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n \n\r\n", "  \t\n"])
@pytest.mark.parametrize("between", ["\n", "\r\n", " \n"])
def test_ends_of_lines_and_of_the_file_do_not_matter(listed, between, end):
    clips = listed(LINE + between + LINE.strip() + end)
    assert [c.line for c in clips] == [1, 2]
    assert clips[0].windows == clips[1].windows


def test_fields_may_come_in_any_order_and_other_sensors_may_be_missing(listed):
    text = "label:2 color:a:0:9 path:x/subject12_r34 depth:b:1:10"
    (clip,) = listed(text)
    assert (clip.label, clip.subject, set(clip.windows)) == (1, 12, {"color", "depth"})


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("label:1", "", r"\['label'\] missing"),
        ("color:sk_color:146:226", "", r"\['color'\] missing"),
        ("depth:sk_depth:146:226", "", r"\['depth'\] missing"),
        ("path:./Video_data/class_01/subject3_r0", "", r"\['path'\] missing"),
        ("label:1", "label:0", "label is '0', expected a number from 1 to 25"),
        ("label:1", "label:26", "from 1 to 25"),
        ("label:1", "label:-1", "from 1 to 25"),
        ("label:1", "label:1.0", "from 1 to 25"),
        ("label:1", "label:", "from 1 to 25"),
        ("label:1", "label:١", "from 1 to 25"),
        ("label:1", "label:" + "9" * 5000, "from 1 to 25"),
        ("label:1", "label:1 label:2", r"\['label'\] given more than once"),
        ("color:sk_color:146:226", "color:sk_color:226:226", "226:226, expected an END after"),
        ("color:sk_color:146:226", "color:sk_color:226:146", "expected an END after"),
        ("color:sk_color:146:226", "color:sk_color:-1:226", "not negative"),
        ("color:sk_color:146:226", "color:sk_color:146", "expected FILE:START:END"),
        ("color:sk_color:146:226", "color:sk_color:146:226:1", "expected FILE:START:END"),
        ("color:sk_color:146:226", "color:sk_color:a:b", "expected FILE:START:END"),
        ("color:sk_color:146:226", "color:../sk_color:146:226", "expected FILE:START:END"),
        ("color:sk_color:146:226", "color:sk_color:1_0:226", "expected FILE:START:END"),
        ("duo_left:duo_left:170:263", "nonsense", "nonsense is '', expected FILE:START:END"),
        ("./Video_data", "../Video_data", "leaves the folder"),
        ("./Video_data", "./Video_data/../../x", "leaves the folder"),
        ("./Video_data", "/Video_data", "leaves the folder"),
        ("./Video_data/", "..\\Video_data\\", "expected ./Video_data/class_XX"),
        ("subject3_r0", "someone", "expected ./Video_data/class_XX/subjectY_rZ"),
    ],
)
def test_a_wrong_line_is_refused_with_its_file_its_number_and_what_was_expected(
    listed, old, new, problem
):
    assert LINE.count(old) == 1
    with pytest.raises(UserError, match=f"(?s)train.lst, line 2: .*{problem}"):
        listed(f"{LINE}\n{LINE.replace(old, new)}\n{LINE}")


NO_LISTS = {
    "a blank line between others": (f"{LINE}\n\n{LINE}".encode(), "line 2: .*missing"),
    "empty": (b"", "line 1: .*missing"),
    "blank": (b"\n \n", "line 1: .*missing"),
    "bytes": (b"\xff\xfe\x00label", "is damaged .it is not UTF-8., expected a list of clips"),
    "another encoding": (LINE.encode("utf-16"), "it is not UTF-8"),
}


@pytest.mark.parametrize(("content", "problem"), NO_LISTS.values(), ids=NO_LISTS)
def test_what_is_no_list_is_refused(listed, content, problem):
    with pytest.raises(UserError, match=f"train.lst.*{problem}"):
        listed(content)


def test_a_missing_list_says_what_belongs_there(tmp_path):
    with pytest.raises(UserError, match=r"none.lst is missing; put the lists and Video_data"):
        read_list(tmp_path / "none.lst")


number = st.integers(0, 10**6)
stems = st.text("aZ09_-", min_size=1, max_size=50)


@given(number, number, stems, number, st.integers(1, 10**6), st.integers(0, 24))
def test_a_clip_survives_being_written_and_read(listed, subject, take, stem, start, length, label):
    folder, end = f"Video_data/class_01/subject{subject}_r{take}", start + length
    windows = {"color": Window(stem, start, end), "depth": Window("b", 1, 2)}
    line = f"path:./{folder} color:{stem}:{start}:{end} depth:b:1:2 label:{label + 1} "
    assert listed(line) == [Clip(1, folder, windows, label, subject)]


@given(text=st.text())
def test_no_text_raises_anything_but_our_error(listed, text):
    with pytest.raises(UserError):
        listed(text)


def test_a_damaged_list_gives_clips_or_our_error_and_nothing_else(listed):
    lines = [LINE, LINE.replace("146", "9"), LINE.strip(), LINE.replace("label:1", "label:25")]
    pieces = ["path:", "color:", "label:", ":", " ", "\n", "\r", "..", "/", "-", "0", "26", "\0"]
    pieces += ["\x85", "٣", "²", "9" * 30, "subject1_r1", "\ufeff", "e9"]
    texts = [f"{a}\n{b}".encode() for a in lines for b in lines]
    for read in read_or_refuse(listed, texts, [piece.encode() for piece in pieces]):
        assert all(0 <= c.label < 25 and ".." not in Path(c.folder).parts for c in read)
        assert all(0 <= w.start < w.end for c in read for w in c.windows.values())


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


@pytest.mark.skipif(not REAL.is_dir(), reason="no mirror with the real lists")
def test_a_fifth_of_the_real_training_clips_is_drawn_for_validation():
    path = REAL / "nvgesture_train_correct_cvpr2016.lst"
    asked = changed(SETTINGS, validation_examples=210)
    splits = nvgesture._split(read_list(path), asked, path)
    assert {split: len(chosen) for split, chosen in splits.items()} == {
        "train": 840,
        "validation": 210,
    }


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
    kinds = {
        "color": ((*frames, 3), np.uint8),
        "depth": ((*frames, 1), np.uint8),
        "labels": ((), np.uint8),
        "ids": ((), np.int32),
        "lengths": ((), np.int32),
    }
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


def test_of_a_longer_window_the_first_frames_are_stored(arrays, made):
    few = made(frames=5)
    assert few["test.lengths"].tolist() == [5] * 4
    np.testing.assert_array_equal(few["test.depth"], arrays["test.depth"][:, :5])


def test_the_mismatched_windows_are_counted_and_reported(made, capsys):
    made()
    reported = capsys.readouterr().err
    assert "color and depth windows differ in 1 of 8 train clips; the color window" in reported
    assert "test clips" not in reported


def test_the_versions_of_the_lists_differ_in_labels_alone(arrays, made):
    differing = {name: (x != arrays[name]).sum() for name, x in made(list_version="v1").items()}
    assert sum(differing.values()) == 1
    assert sum(n for name, n in differing.items() if name.endswith("labels")) == 1


def test_lists_of_the_version_asked_for_must_be_there(raw, tmp_path):
    (raw / TEST).unlink()
    with pytest.raises(UserError, match=rf"(?s)/{TEST} is missing: .*list_version"):
        SETTINGS.prepare(raw, tmp_path / "out")
    changed(SETTINGS, list_version="v1").prepare(raw, tmp_path / "out")


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


def test_a_window_past_the_end_names_line_file_and_frames(raw, tmp_path):
    relist(
        raw / TEST, lambda line: re.sub(r"color:sk_color:\d+:\d+", "color:sk_color:900:908", line)
    )
    with pytest.raises(UserError, match=r"line 1: .*frames 900 to 907 are wanted, it has 14"):
        SETTINGS.prepare(raw, tmp_path / "out")


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


def test_labels_without_a_class_are_refused(raw, tmp_path):
    (raw / TEST).write_text((raw / TEST).read_text().replace("label:2", "label:7"))
    with pytest.raises(UserError, match=r"test_.*_v2.lst has labels up to 7, but classes is 2"):
        SETTINGS.prepare(raw, tmp_path / "out")


REFUSED = [{"validation_examples": 0, "validation_subjects": [9]}, {"size": 2_000_000}]


@pytest.mark.parametrize("changes", REFUSED)
def test_settings_that_are_refused_leave_the_arrays_good(made, tmp_path, changes):
    """They take hours to make."""
    made()
    with pytest.raises(UserError):
        made(**changes)
    assert not list(objections(tmp_path / "out" / NAME, settings=SETTINGS.preparation))


def test_a_folder_that_can_not_be_made_is_refused(made, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="out is a file, expected a folder"):
        made()
