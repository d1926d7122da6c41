"""What of a stored example a network sees: parts of clips, mirrors, their labels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from equimodal.study.data.split import draw_views, load_split
from equimodal.study.spec import Augmentation, ClipViews, Modality, Normalization

SIZE, CROP, FRAMES, TIME = 8, 6, 4, 6
PLAIN = Normalization(mean=(0.0,), std=(1 / 255,))  # leaves the stored values as they are
CLIP = ClipViews(frames=FRAMES, crop=CROP, evaluated="center")


def modality(source, channels=1):
    plain = Normalization(mean=PLAIN.mean * channels, std=PLAIN.std * channels)
    return Modality(source=source, channels=channels, normalization=plain)


def opened(folder, modalities, clip=CLIP, **arrays):
    """Save the arrays of a split and open it."""
    count = len(next(iter(arrays.values())))
    usual = {"labels": np.zeros(count, int), "ids": np.arange(count)}
    for name, array in (usual | arrays).items():
        np.save(folder / f"train.{name}.npy", array)
    return load_split(folder, "train", modalities=modalities, classes=8, clip=clip)


@pytest.fixture
def load(tmp_path):
    def load(lengths, clip=CLIP, **arrays):
        """Clips, around the middle, whose pixels all differ within a frame and are never black."""
        frame = 1 + np.arange(SIZE * SIZE).reshape(SIZE, SIZE)
        stored = np.zeros((len(lengths), TIME, SIZE, SIZE, 1), np.uint8)
        for row, length in zip(stored, lengths, strict=True):
            before = (TIME - length) // 2
            for t in range(before, before + length):
                row[t, ..., 0] = frame + t * 30
        given = {"color": modality("color", 3), "depth": modality("depth")}
        arrays |= {"depth": stored, "color": stored.repeat(3, -1), "lengths": np.array(lengths)}
        return opened(tmp_path, given, clip, **arrays)

    return load


def draw(split, seed=(0,), **changes):
    settings = {"flip": 0.5, "shared": True, "clip": CLIP} | changes
    return draw_views(split, Augmentation(**settings), list(seed))


def seen(split, views=None):
    """All clips, as (clips, frames, height, width), from their depth."""
    batch = split.batch(torch.arange(len(split)), views)
    return batch.inputs["depth"][:, 0]


def stored(split):
    return split.arrays["depth"][..., 0].float()


def test_evaluation_sees_the_middle_frames_and_the_middle_square(load):
    split = load([6, 6])
    torch.testing.assert_close(seen(split), stored(split)[:, 1:5, 1:7, 1:7])


def test_evaluation_sees_all_frames_if_asked_for(load):
    split = load([6, 6], ClipViews(frames=FRAMES, crop=SIZE, evaluated="all"))
    torch.testing.assert_close(seen(split), stored(split))


def test_frames_are_consecutive_and_from_every_possible_start(load):
    split = load([6] * 200)
    views = draw(split, flip=0.0)
    assert set(views.part.begin[:, 0].tolist()) == {0, 1, 2}
    steps = seen(split, views)[:, 1:] - seen(split, views)[:, :-1]
    torch.testing.assert_close(steps, torch.full_like(steps, 30))


def test_no_frame_outside_a_clip_is_seen_while_it_has_enough(load):
    split = load([4, 5, 6] * 50)
    assert (seen(split, draw(split)) > 0).all()
    firsts = draw(split).part.begin[:, 0].view(-1, 3).T
    assert [set(row.tolist()) for row in firsts] == [{1}, {0, 1}, {0, 1, 2}]


@given(length=st.integers(1, FRAMES), seed=st.integers(0, 1000))
def test_a_short_clip_is_seen_whole_with_black_frames_on_both_sides(tmp_path_factory, length, seed):
    array = np.zeros((1, TIME, SIZE, SIZE, 1), np.uint8)
    before = (TIME - length) // 2
    array[:, before : before + length] = 1
    folder, given = tmp_path_factory.mktemp("clips"), {"depth": modality("depth")}
    split = opened(folder, given, depth=array, lengths=np.array([length]))
    for views in (None, draw(split, seed=(seed,))):
        shown = seen(split, views)[0].flatten(1).amax(1) > 0.5
        left = (FRAMES - length) // 2
        assert shown.tolist() == [left <= t < left + length for t in range(FRAMES)]


def test_the_square_stands_still_through_a_clip_and_is_the_same_in_both_modalities(load):
    split = load([6] * 20)
    views = draw(split)
    batch = split.batch(torch.arange(20), views)
    depth = batch.inputs["depth"]
    torch.testing.assert_close(batch.inputs["color"], depth.expand(-1, 3, -1, -1, -1))
    for clip, (first, top, left) in enumerate(views.part.begin.tolist()):
        whole = stored(split)[clip]
        square = whole[first : first + FRAMES, top : top + CROP, left : left + CROP]
        mirrored = bool(views.mirrored["depth"][clip])
        torch.testing.assert_close(depth[clip, 0], square.flip(-1) if mirrored else square)


@pytest.mark.parametrize(("flip", "low", "high"), [(0.5, 440, 560), (1.0, 1000, 1000)])
def test_clips_are_mirrored_with_the_chance_given(load, flip, low, high):
    assert low <= draw(load([6] * 1000), flip=flip).mirrored["depth"].sum() <= high


def test_each_modality_is_mirrored_on_its_own_unless_mirrors_are_shared(load):
    for shared in (True, False):
        color, depth = draw(load([6] * 50), shared=shared).mirrored.values()
        assert torch.equal(color, depth) == shared


def test_nothing_is_drawn_where_nothing_is_random(load):
    assert draw(load([6]), flip=0.0, clip=None) is None


def test_a_mirror_swaps_the_labels_that_it_makes_of_each_other(load):
    split = load([6] * 8, labels=np.arange(8))
    views = draw(split, flip=1.0, flip_swaps=((0, 1), (4, 5)))
    assert split.batch(torch.arange(8), views).labels.tolist() == [1, 0, 2, 3, 5, 4, 6, 7]
    half = draw(split, flip=0.5, flip_swaps=((0, 1), (4, 5)))
    labels = split.batch(torch.arange(8), half).labels
    changed = labels != torch.arange(8)
    swapped = torch.tensor([True, True, False, False, True, True, False, False])
    assert torch.equal(changed, half.mirrored["depth"] & swapped)


def test_the_same_seed_draws_the_same_and_another_does_not(load):
    split = load([6] * 50)
    one, same, other = (draw(split, seed=s) for s in [(1, 2), (1, 2), (1, 3)])
    assert torch.equal(one.part.begin, same.part.begin)
    assert torch.equal(one.mirrored["depth"], same.mirrored["depth"])
    assert (one.part.begin != other.part.begin).any(0).all()
    assert not torch.equal(one.mirrored["depth"], other.mirrored["depth"])


def test_an_array_of_one_channel_is_given_to_every_channel(tmp_path):
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
    scaled = Normalization(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    view = {"front": Modality(source="view0", channels=3, normalization=scaled)}
    split = opened(tmp_path, view, None, view0=images)
    x = split.batch(torch.tensor([1])).inputs["front"]
    assert x.shape == (1, 3, 4, 4)
    for channel, (mean, std) in enumerate(zip(scaled.mean, scaled.std, strict=True)):
        expected = (images[1, ..., 0] / 255 - mean) / std
        np.testing.assert_allclose(x[0, channel], expected, atol=1e-5)
