import av
import numpy as np
import pytest

from equimodal.study.data.nvgesture_list import mismatched, read_list
from equimodal.study.data.nvgesture_standin import GESTURES, draw, move, write
from equimodal.study.datasets import StandInClips

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


def test_both_encodings_are_used_for_both_sensors(folder):
    seen = set()
    for path in folder.rglob("*.avi"):
        with av.open(path) as container:
            stream = container.streams.video[0]
            seen.add((path.stem, stream.codec_context.name))
            assert (stream.width, stream.height, stream.average_rate) == (64, 48, 30)
            assert sum(1 for p in container.demux(stream) if p.size) == 20
    assert seen == {(s, c) for s in ("sk_color", "sk_depth") for c in ("h264", "mjpeg")}


@pytest.mark.parametrize("gesture", range(0, 8, 2))
def test_a_gesture_backwards_is_its_opposite_so_that_one_frame_tells_neither(gesture):
    for seed in range(20):
        one, other = (move(np.random.default_rng(seed), g, 30) for g in (gesture, gesture + 1))
        for axis in ("x", "y", "near"):
            np.testing.assert_allclose(getattr(one, axis), getattr(other, axis)[::-1], atol=1e-9)


def depth_of(gesture, **window):
    return draw(np.random.default_rng(0), GESTURES.index(gesture), size=(64, 48), **window)[1]


def test_the_hand_rests_outside_of_the_window():
    depth = depth_of("left", recorded=20, start=4, length=10)
    for still in (depth[:4], depth[14:]):
        assert (still > 0).all(0).sum() == (still > 0).any(0).sum()
    assert (depth[4] > 0).sum() != ((depth[4] > 0) & (depth[13] > 0)).sum()
