import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from equimodal.data.clips import center_views, draw_views, take

SIZE, CROP, FRAMES = 8, 6, 4


def clips(lengths, time=6, channels=1):
    """Stored clips whose pixels all differ within a clip and are never black; 0 after their end."""
    count = time * SIZE * SIZE
    one = (1 + torch.arange(count) % 255).to(torch.uint8).view(1, time, SIZE, SIZE, 1)
    stored = one.repeat(len(lengths), 1, 1, 1, channels)
    for clip, length in zip(stored, lengths, strict=True):
        clip[length:] = 0
    return stored


def draw(lengths, *, flip=0.5, seed=(0,), **sizes):
    sizes = {"frames": FRAMES, "size": SIZE, "crop": CROP} | sizes
    return draw_views(np.array(lengths), flip=flip, seed=seed, **sizes)


def everything(lengths):
    return torch.arange(len(lengths))


def test_evaluation_sees_the_center_frames_8_to_71_and_the_center_square_of_the_paper():
    views = center_views(np.array([80]), frames=64, size=256, crop=224)
    assert (views.first[0], views.first[0] + views.frames - 1) == (8, 71)
    assert (views.top[0], views.left[0], views.mirrored[0]) == (16, 16, False)


def test_the_center_view_is_the_middle_of_the_stored_array():
    stored = clips([6])
    seen = take(stored, center_views(np.array([6]), frames=4, size=8, crop=6), torch.tensor([0]))
    assert torch.equal(seen, stored[:, 1:5, 1:7, 1:7])


def test_all_frames_are_seen_when_as_many_are_asked_for_as_are_stored():
    stored = clips([6, 6])
    views = center_views(np.array([6, 6]), frames=6, size=8, crop=8)
    assert torch.equal(take(stored, views, torch.tensor([0, 1])), stored)


def test_frames_are_consecutive_and_from_every_possible_start():
    lengths = [6] * 200
    views = draw(lengths)
    assert set(views.first) == {0, 1, 2}
    seen = take(clips(lengths), views, everything(lengths))
    frame = SIZE * SIZE
    steps = seen[:, 1:, 0, 0, 0].int() - seen[:, :-1, 0, 0, 0].int()
    assert torch.equal(steps % 255, torch.full_like(steps, frame % 255))


def test_no_frame_after_the_end_of_a_clip_is_seen_while_it_has_enough():
    lengths = [4, 5, 6] * 50
    assert take(clips(lengths), draw(lengths), everything(lengths)).all()


@given(length=st.integers(1, FRAMES), seed=st.integers(0, 1000))
def test_a_short_clip_has_black_frames_on_both_sides(length, seed):
    for views in (
        draw([length], seed=(seed,)),
        center_views(np.array([length]), frames=FRAMES, size=SIZE, crop=CROP),
    ):
        seen = take(clips([length]), views, torch.tensor([0]))[0]
        before = (FRAMES - length) // 2
        is_black = (seen.flatten(1) == 0).all(1)
        expected = torch.ones(FRAMES, dtype=torch.bool)
        expected[before : before + length] = False
        assert torch.equal(is_black, expected)


def test_the_square_stands_still_through_a_clip_and_is_the_same_in_both_modalities():
    lengths = [6] * 20
    gray, color = clips(lengths), clips(lengths, channels=3)
    views = draw(lengths)
    seen = take(gray, views, everything(lengths))
    assert torch.equal(take(color, views, everything(lengths)), seen.expand(-1, -1, -1, -1, 3))
    for clip in range(20):
        first, top, left = views.first[clip], views.top[clip], views.left[clip]
        square = gray[clip, first : first + FRAMES, top : top + CROP, left : left + CROP]
        expected = square.flip(2) if views.mirrored[clip] else square
        assert torch.equal(seen[clip], expected)


def test_squares_come_from_every_possible_corner():
    views = draw([6] * 500)
    assert {*zip(views.top, views.left, strict=True)} == {
        (y, x) for y in range(3) for x in range(3)
    }


@pytest.mark.parametrize(("flip", "low", "high"), [(0.0, 0, 0), (0.5, 440, 560), (1.0, 1000, 1000)])
def test_clips_are_mirrored_with_the_chance_given(flip, low, high):
    assert low <= draw([6] * 1000, flip=flip).mirrored.sum() <= high


def test_a_mirrored_clip_is_the_plain_one_left_to_right():
    plain, mirrored = draw([6], flip=0.0), draw([6], flip=1.0)
    index, stored = torch.tensor([0]), clips([6])
    assert torch.equal(take(stored, mirrored, index), take(stored, plain, index).flip(3))


def test_a_batch_is_the_clips_asked_for_in_their_order():
    stored = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1, 1).repeat(1, 6, SIZE, SIZE, 1)
    seen = take(stored, draw([6, 6, 6]), torch.tensor([2, 0]))
    assert seen[:, 0, 0, 0, 0].tolist() == [2, 0]


def test_the_same_seed_draws_the_same_and_another_does_not():
    one, same, other = (draw([6] * 50, seed=s) for s in [(1, 2), (1, 2), (1, 3)])
    for name in ("first", "top", "left", "mirrored"):
        assert (getattr(one, name) == getattr(same, name)).all()
        assert (getattr(one, name) != getattr(other, name)).any()


def test_clips_are_taken_from_a_memory_mapped_file_as_from_memory(tmp_path):
    stored = clips([6, 6])
    np.save(tmp_path / "clips.npy", stored.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "clips.npy", mmap_mode="r+"))
    views, index = draw([6, 6]), torch.tensor([1, 0])
    assert torch.equal(take(mapped, views, index), take(stored, views, index))
