import av
import numpy as np
import pytest

from equimodal.study.data.nvgesture_list import mismatched, read_list
from equimodal.study.data.nvgesture_standin import GESTURES, draw, move, write
from equimodal.study.data.video import read_frames
from equimodal.study.datasets import StandInClips
from tests.study.data.helpers import contents

SIZES = {"width": 64, "height": 48, "recorded": 20, "window": 14, "short": 5}
DRAWN = StandInClips(train_per_class=5, test_per_class=2, seed=7, **SIZES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("standin")
    write(made, 8, DRAWN)
    return made


@pytest.fixture(scope="module")
def clips(folder):
    """Of both parts, in both versions of the lists."""
    return {
        part + version: read_list(folder / f"nvgesture_{part}_correct_cvpr2016{version}.lst")
        for part in ("train", "test")
        for version in ("", "_v2")
    }


def test_the_files_lie_as_those_of_the_data_set_do(folder, clips):
    assert [len(listed) for listed in clips.values()] == [40, 40, 16, 16]
    for clip in (clip for listed in clips.values() for clip in listed):
        files = {path.name for path in (folder / clip.folder).iterdir()}
        assert files == {"sk_color.avi", "sk_depth.avi"}
    videos = list(folder.glob("Video_data/class_??/subject?_r?*/sk_*.avi"))
    assert len(videos) == len(list(folder.rglob("*.avi"))) == 2 * 56


def test_no_two_clips_share_a_folder_and_no_subject_is_in_both_lists(clips):
    train, test = clips["train_v2"], clips["test_v2"]
    assert len({c.folder for c in train + test}) == 56
    assert {c.subject for c in train} == {1, 2, 3}
    assert {c.subject for c in test} == {5, 8}


def test_every_gesture_has_as_many_clips_as_asked_for(clips):
    for part, count in {"train_v2": 5, "test_v2": 2}.items():
        assert np.bincount([c.label for c in clips[part]]).tolist() == 8 * [count]


def test_one_clip_is_mismatched_one_short_and_one_mislabeled_in_the_first_version(clips):
    first, second = clips["train"], clips["train_v2"]
    assert [c.line for c in mismatched(second)] == [1]
    spans = (clip.span("color") for clip in second)
    assert [end - start for start, end in spans] == [14, 5] + 38 * [14]
    assert [a.line for a, b in zip(first, second, strict=True) if a.label != b.label] == [3]
    assert all(c.label + 1 == int(c.folder.split("/")[1][-2:]) for c in first)
    assert mismatched(clips["test"]) == mismatched(clips["test_v2"]) == []


def test_lines_end_in_a_blank_and_training_lists_without_a_newline(folder):
    for path in folder.glob("*.lst"):
        text = path.read_text()
        assert text.endswith(" " if "train" in path.name else " \n")
        assert all(line.endswith(" ") for line in text.splitlines())


def test_both_encodings_are_used_for_both_sensors(folder):
    seen = set()
    for path in folder.rglob("*.avi"):
        with av.open(path) as container:
            stream = container.streams.video[0]
            seen.add((path.stem, stream.codec_context.name))
            assert (stream.width, stream.height, stream.average_rate) == (64, 48, 30)
            assert sum(1 for p in container.demux(stream) if p.size) == 20
    assert seen == {(s, c) for s in ("sk_color", "sk_depth") for c in ("h264", "mjpeg")}


def test_every_file_says_that_it_is_a_stand_in(folder):
    text = (folder / "README.txt").read_text()
    assert text.startswith("STAND-IN: synthetic gestures, not the NVGesture data set.")
    for name in GESTURES:
        assert name in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    few = DRAWN.model_copy(update={"train_per_class": 3, "test_per_class": 1, "width": 48})
    for name, of in {"one": few, "same": few, "other": few.model_copy(update={"seed": 8})}.items():
        write(tmp_path / name, 2, of)
    one, same, other = (contents(tmp_path / name) for name in ("one", "same", "other"))
    assert same == one
    assert not set(other.values()) & set(one.values())


@pytest.mark.parametrize("gesture", range(0, 8, 2))
def test_a_gesture_backwards_is_its_opposite_so_that_one_frame_tells_neither(gesture):
    for seed in range(20):
        one, other = (move(np.random.default_rng(seed), g, 30) for g in (gesture, gesture + 1))
        for axis in ("x", "y", "near"):
            np.testing.assert_allclose(getattr(one, axis), getattr(other, axis)[::-1], atol=1e-9)


@pytest.mark.parametrize("gesture", range(8))
def test_the_hand_stays_in_the_frame_and_moves(gesture):
    for seed in range(50):
        hand = move(np.random.default_rng(seed), gesture, 30)
        assert max(abs(hand.x).max(), abs(hand.y).max()) < 0.5
        assert hand.near.min() >= 0
        assert hand.near.max() <= 1
        assert max(np.ptp(hand.x), np.ptp(hand.y), np.ptp(hand.near)) > 0.25


def guess(frames):
    """Name a gesture as a child would: follow the middle of what is bright."""
    bright = frames > 70
    sizes = bright.sum((1, 2)) + 1e-9
    rows, columns = np.arange(frames.shape[1])[:, None], np.arange(frames.shape[2])
    y, x = (bright * rows).sum((1, 2)) / sizes, (bright * columns).sum((1, 2)) / sizes
    dx, dy = x[-1] - x[0], y[-1] - y[0]
    turn = (np.diff(y) * (x[:-1] - x.mean()) - np.diff(x) * (y[:-1] - y.mean())).sum()
    size = frames.shape[1]
    if abs(turn) > 0.1 * size**2:
        return "clockwise" if turn > 0 else "counterclockwise"
    if abs(np.log(sizes[-1] / sizes[0])) > 0.7:
        return "push" if sizes[-1] > sizes[0] else "pull"
    if abs(dx) > abs(dy):
        return "left" if dx < 0 else "right"
    return "up" if dy < 0 else "down"


def test_a_simple_rule_names_the_gestures_from_depth_and_not_from_color(folder, clips):
    right = {"color": 0, "depth": 0}
    usual = [clip for part in ("train_v2", "test_v2") for clip in clips[part] if clip.line != 2]
    for clip in usual:
        for sensor in right:
            path = folder / clip.folder / f"sk_{sensor}.avi"
            frames = read_frames(path, *clip.span("color"), size=48, gray=True)[..., 0]
            right[sensor] += guess(frames) == GESTURES[clip.label]
    assert right["depth"] > 0.9 * len(usual)
    assert right["color"] < 0.5 * len(usual)


def depth_of(gesture, **window):
    return draw(np.random.default_rng(0), GESTURES.index(gesture), size=(64, 48), **window)[1]


def test_depth_is_0_but_for_the_hand_and_brighter_when_it_is_nearer():
    depth = depth_of("push", recorded=16, start=0, length=16)
    hand = [frame[frame > 0] for frame in depth]
    assert all(0 < h.size < 0.5 * 64 * 48 for h in hand)
    assert hand[-1].mean() > hand[0].mean() + 30
    assert hand[-1].size > hand[0].size


def test_the_hand_rests_outside_of_the_window():
    depth = depth_of("left", recorded=20, start=4, length=10)
    for still in (depth[:4], depth[14:]):
        assert (still > 0).all(0).sum() == (still > 0).any(0).sum()
    assert (depth[4] > 0).sum() != ((depth[4] > 0) & (depth[13] > 0)).sum()
