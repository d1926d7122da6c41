import os
import random
import shutil
from collections.abc import Sequence
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

    def read(text: str | bytes) -> list[Clip]:
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
ARRAYS = ("color", "depth", "labels", "ids", "lengths")
DRAWN = StandInClips(**CLIPS)


@pytest.fixture(scope="module")
def shared_raw(tmp_path_factory):
    """The stand-in's files as if they were NVGesture's; not to be changed."""
    folder = tmp_path_factory.mktemp("raw")
    nvgesture_standin.write(folder, 2, DRAWN)
    return folder


@pytest.fixture
def raw(shared_raw, tmp_path):
    """The same, to change."""
    return shutil.copytree(shared_raw, tmp_path / "raw")


@pytest.fixture(scope="module")
def prepared(shared_raw, tmp_path_factory):
    """The stand-in, prepared."""
    out = tmp_path_factory.mktemp("prepared")
    SETTINGS.prepare(shared_raw, out)
    return out


def load(folder, split):
    return {name: np.load(folder / f"{split}.{name}.npy") for name in ARRAYS}


@pytest.fixture
def decoded(monkeypatch):
    """The videos that are decoded, in order."""
    paths: list[Path] = []

    def note(path: Path, *window: int, **options: int) -> np.ndarray:
        paths.append(path)
        return read_frames(path, *window, **options)

    monkeypatch.setattr(video, "read_frames", note)
    return paths


def lines_of(raw, name) -> Sequence[Clip]:
    return read_list(raw / f"nvgesture_{name}.lst")


def test_arrays_have_the_shapes_and_types_promised(prepared):
    counts = {"train": 6, "validation": 2, "test": 4}
    for split, n in counts.items():
        arrays = load(prepared, split)
        assert {name: (a.dtype, a.shape) for name, a in arrays.items()} == {
            "color": (np.uint8, (n, WINDOW, SIZE, SIZE, 3)),
            "depth": (np.uint8, (n, WINDOW, SIZE, SIZE, 1)),
            "labels": (np.uint8, (n,)),
            "ids": (np.int32, (n,)),
            "lengths": (np.int32, (n,)),
        }
    files = {f"{s}.{a}.npy" for s in counts for a in ARRAYS}
    assert {p.name for p in prepared.iterdir()} == files | {"receipt.json", "receipt.json.seen"}


def test_every_row_holds_the_color_window_of_its_line_in_both_modalities(prepared, shared_raw):
    for split, part in (("train", "train"), ("validation", "train"), ("test", "test")):
        clips = lines_of(shared_raw, f"{part}_correct_cvpr2016_v2")
        arrays = load(prepared, split)
        for row, line in enumerate(arrays["ids"]):
            clip = clips[line]
            span = (clip.windows["color"].start, clip.windows["color"].end)
            length = span[1] - span[0]
            assert arrays["lengths"][row] == length
            assert arrays["labels"][row] == clip.label
            for sensor in ("color", "depth"):
                path = shared_raw / clip.folder / f"sk_{sensor}.avi"
                frames = read_frames(path, *span, size=SIZE, gray=sensor == "depth")
                before = (WINDOW - length) // 2
                after = before + length
                np.testing.assert_array_equal(arrays[sensor][row, before:after], frames)
                assert not arrays[sensor][row, :before].any()
                assert not arrays[sensor][row, after:].any()


def test_a_short_clip_is_stored_with_its_length(prepared):
    lengths = np.concatenate([load(prepared, s)["lengths"] for s in ("train", "validation")])
    assert sorted(lengths) == [SHORT] + 7 * [WINDOW]


def test_of_a_window_every_so_manyth_frame_is_stored(prepared, shared_raw, tmp_path):
    thinned = changed(SETTINGS, every=3)
    thinned.prepare(shared_raw, tmp_path)
    assert thinned.shape("depth") == [-(-WINDOW // 3), SIZE, SIZE, 1]
    for split in ("train", "validation", "test"):
        every, lengths = (np.load(f / f"{split}.lengths.npy") for f in (prepared, tmp_path))
        assert (lengths == -(-every // 3)).all()
        for sensor in ("color", "depth"):
            whole, thin = (np.load(f / f"{split}.{sensor}.npy") for f in (prepared, tmp_path))
            for row, frames, few in zip(range(len(whole)), every, lengths, strict=True):
                first = (whole.shape[1] - frames) // 2
                begin = (thin.shape[1] - few) // 2
                seen = whole[row, first : first + frames : 3]
                np.testing.assert_array_equal(thin[row, begin : begin + few], seen)
                assert not thin[row, :begin].any()
                assert not thin[row, begin + few :].any()


def test_of_a_longer_window_the_first_frames_are_stored(prepared, shared_raw, tmp_path):
    changed(SETTINGS, frames=5).prepare(shared_raw, tmp_path)
    few, all_of_them = load(tmp_path, "test"), load(prepared, "test")
    assert few["lengths"].tolist() == [5] * 4
    np.testing.assert_array_equal(few["depth"], all_of_them["depth"][:, :5])


def test_the_mismatched_windows_are_counted_and_reported(shared_raw, tmp_path, capsys):
    SETTINGS.prepare(shared_raw, tmp_path)
    reported = capsys.readouterr().err
    assert "color and depth windows differ in 1 of 8 train clips; the color window" in reported
    assert "test clips" not in reported


def test_the_versions_of_the_lists_differ_in_labels_alone(prepared, shared_raw, tmp_path):
    changed(SETTINGS, list_version="v1").prepare(shared_raw, tmp_path)
    differences = 0
    for split in ("train", "validation", "test"):
        first, second = load(tmp_path, split), load(prepared, split)
        differences += (first.pop("labels") != second.pop("labels")).sum()
        for name, array in first.items():
            np.testing.assert_array_equal(array, second[name])
    assert differences == 1


def test_lists_of_the_version_asked_for_must_be_there(raw, tmp_path):
    (raw / "nvgesture_test_correct_cvpr2016_v2.lst").unlink()
    with pytest.raises(
        UserError, match=r"(?s)/nvgesture_test_correct_cvpr2016_v2.lst is missing: .*list_version"
    ):
        SETTINGS.prepare(raw, tmp_path / "out")
    changed(SETTINGS, list_version="v1").prepare(raw, tmp_path / "out")


def test_validation_clips_are_the_first_that_a_seeded_shuffle_gives(prepared):
    order = list(range(8))
    random.Random(10).shuffle(order)
    assert load(prepared, "validation")["ids"].tolist() == sorted(order[:2])
    assert load(prepared, "train")["ids"].tolist() == sorted(order[2:])


def test_validation_may_be_whole_subjects(shared_raw, tmp_path):
    changed(SETTINGS, validation_examples=0, validation_subjects=[2]).prepare(shared_raw, tmp_path)
    clips = lines_of(shared_raw, "train_correct_cvpr2016_v2")
    ids = load(tmp_path, "validation")["ids"]
    assert ids.tolist() == [c.line - 1 for c in clips if c.subject == 2]


def test_nothing_is_held_out_if_no_validation_is_asked_for(shared_raw, tmp_path):
    changed(SETTINGS, validation_examples=0).prepare(shared_raw, tmp_path)
    assert load(tmp_path, "train")["ids"].tolist() == list(range(8))
    assert not list(tmp_path.glob("validation*"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"validation_examples": 0, "validation_subjects": [1, 7]},
            r"validation_subjects has \[7\]; .* has \[1, 2, 3\]",
        ),
        (
            {"validation_examples": 0, "validation_subjects": [1, 2, 3]},
            "all 8 clips of .* are held out",
        ),
        ({"validation_examples": 8}, "all 8 clips of .* are held out"),
    ],
)
def test_a_validation_that_can_not_be_is_refused(shared_raw, tmp_path, change, problem):
    with pytest.raises(UserError, match=problem):
        changed(SETTINGS, **change).prepare(shared_raw, tmp_path)


def test_examples_are_shown_of_the_stand_in_alone(prepared, tmp_path):
    assert not (prepared / EXAMPLES).exists()
    raw, out = tmp_path / "raw", tmp_path / "out"
    settings = changed(SETTINGS, stand_in=DRAWN.model_dump())
    settings.fetch(raw, mirror=None)
    settings.prepare(raw, out)
    with np.load(out / EXAMPLES) as examples:
        assert examples["test.labels"].tolist() == [0, 1]
        assert examples["test.color"].shape == (2, 3, SIZE, SIZE, 3)
        stored = load(out, "test")["depth"]
        np.testing.assert_array_equal(examples["test.depth"][1], stored[2, [2, 4, 6]])


# ---- Trouble -------------------------------------------------------------------------------------


def test_a_damaged_video_is_named_the_others_are_kept_and_processes_go_on_to_the_same_bytes(
    raw, prepared, tmp_path, decoded
):
    clips = lines_of(raw, "train_correct_cvpr2016_v2")
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


def test_a_window_past_the_end_names_line_file_and_frames(raw, tmp_path):
    for version in ("", "_v2"):
        path = raw / f"nvgesture_test_correct_cvpr2016{version}.lst"
        line = path.read_text().splitlines()[0]
        start = line.split("color:sk_color:")[1].split(":")[0]
        far = line.replace(f"sk_color:{start}:", "sk_color:900:").replace(
            f":{int(start) + WINDOW} duo", f":{900 + WINDOW} duo"
        )
        path.write_text(path.read_text().replace(line, far))
    with pytest.raises(UserError, match=r"line 1: .*frames 900 to 907 are wanted, it has 14"):
        SETTINGS.prepare(raw, tmp_path / "out")


def test_a_color_window_may_end_a_frame_after_the_depth_video_if_the_list_says_so(raw, tmp_path):
    path = raw / "nvgesture_test_correct_cvpr2016_v2.lst"
    folder = lines_of(raw, "test_correct_cvpr2016_v2")[0].folder
    _, _, rest = path.read_text().partition("\n")
    # As in the real lists: color 161:241, depth 160:240; and a depth video of 240 frames.
    color, _ = nvgesture_standin.draw(
        np.random.default_rng(0), 0, size=(32, 32), recorded=15, start=3, length=WINDOW
    )
    nvgesture_standin._write_avi(raw / folder / "sk_color.avi", color, "mjpeg", {})
    line = f"path:./{folder} depth:sk_depth:{{}}:{{}} color:sk_color:7:15 label:1\n"
    path.write_text(line.format(6, 14) + rest)
    SETTINGS.prepare(raw, tmp_path / "out")
    depth = load(tmp_path / "out", "test")["depth"][0]
    np.testing.assert_array_equal(depth[7], depth[6])
    path.write_text(line.format(7, 15) + rest)
    with pytest.raises(UserError, match=r"sk_depth.avi ends too early"):
        SETTINGS.prepare(raw, tmp_path / "out")


def test_labels_without_a_class_are_refused(raw, tmp_path):
    path = raw / "nvgesture_test_correct_cvpr2016_v2.lst"
    path.write_text(path.read_text().replace("label:2", "label:7"))
    with pytest.raises(UserError, match=r"test_.*_v2.lst has labels up to 7, but classes is 2"):
        SETTINGS.prepare(raw, tmp_path / "out")


@pytest.mark.parametrize(
    "change", [{"validation_examples": 0, "validation_subjects": [9]}, {"size": 2_000_000}]
)
def test_settings_that_are_refused_leave_the_arrays_good(shared_raw, tmp_path, change):
    """They take hours to make."""
    SETTINGS.prepare(shared_raw, tmp_path)
    with pytest.raises(UserError):
        changed(SETTINGS, **change).prepare(shared_raw, tmp_path)
    assert not list(objections(tmp_path / NAME, settings=SETTINGS.preparation))


def test_a_folder_that_can_not_be_made_is_refused(shared_raw, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file, expected a folder"):
        SETTINGS.prepare(shared_raw, tmp_path / "file/out")
