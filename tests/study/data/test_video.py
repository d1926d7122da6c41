import av
import numpy as np
import pytest

from equimodal.study.data import video
from equimodal.study.data.video import read_frames
from equimodal.study.errors import UserError
from tests.study.data.helpers import read_or_refuse

HEIGHT, WIDTH, FRAMES = 48, 64, 60

ENCODINGS = {
    "h264_b_frames": ("libx264", {"g": "12", "bf": "3", "sc_threshold": "0"}),
    "h264_one_keyframe": ("libx264", {"g": "250", "bf": "3"}),
    "h264_open_gop": (
        "libx264",
        {"g": "12", "bf": "3", "sc_threshold": "0", "x264-params": "open-gop=1"},
    ),
    "h264_scene_cuts": ("libx264", {"g": "250", "bf": "2", "sc_threshold": "40"}),
    "mjpeg": ("mjpeg", {"qmin": "2", "qmax": "3"}),
    "mpeg4_b_frames": ("mpeg4", {"g": "12", "bf": "2"}),
}


def film(count=FRAMES):
    """Frames that say their number: eight columns, bright or dark as the bits of it."""
    frames = np.random.default_rng(0).integers(90, 160, (count, HEIGHT, WIDTH, 3), np.uint8)
    bits = (np.arange(count)[:, None] >> np.arange(8)) & 1
    frames[:, : HEIGHT // 2] = np.repeat(40 + 170 * bits, WIDTH // 8, axis=1)[:, None, :, None]
    return frames


def number(frame):
    """The number that a frame of `film`, resized to 32, says."""
    columns = frame[2:14].mean((0, 2)).reshape(8, 4)[:, 1:3].mean(1)
    return int(((columns > 125) << np.arange(8)).sum())


def encode(path, frames, codec, options, pixels=None):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=30, options={**options, "threads": "1"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
        for frame in frames:
            plain = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(plain))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("videos")
    for name, (codec, options) in ENCODINGS.items():
        encode(made / f"{name}.avi", film(), codec, options)
    return made


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_frame_says_its_own_number(folder, name):
    for start, end in ((0, FRAMES), (31, 36)):
        frames = read_frames(folder / f"{name}.avi", start, end, size=32, gray=False)
        assert [number(f) for f in frames] == list(range(start, end))


def test_a_frame_is_squeezed_to_a_square(tmp_path):
    frames = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    frames[:, HEIGHT // 2 :, WIDTH // 2 :] = 255
    path = encode(tmp_path / "a.avi", frames, "mjpeg", {"qmin": "1", "qmax": "1"})
    small = read_frames(path, 0, 2, size=16, gray=True)
    assert small.shape == (2, 16, 16, 1)
    assert small[:, :7].max() < 10
    assert small[:, :, :7].max() < 10
    assert small[:, 9:, 9:].min() > 245


def test_frames_of_absurd_size_are_refused(folder, monkeypatch):
    monkeypatch.setattr(video, "LARGEST", WIDTH * HEIGHT - 1)
    with pytest.raises(
        UserError, match=f"mjpeg.avi can not be decoded .frames of {WIDTH} x {HEIGHT}"
    ):
        read_frames(folder / "mjpeg.avi", 0, 2, size=16, gray=True)


def test_a_window_past_the_end_names_the_file_and_both_counts(folder):
    path = folder / "h264_b_frames.avi"
    with pytest.raises(UserError, match=r"h264_b_frames.avi ends too early: frames 55 to 60 .* 60"):
        read_frames(path, 55, 61, size=16, gray=True)
    with pytest.raises(UserError, match="frames 900 to 909 are wanted, it has 60"):
        read_frames(path, 900, 910, size=16, gray=True)


def test_the_last_frame_stands_in_for_those_that_may_be_lacking(folder):
    path = folder / "mjpeg.avi"
    window = read_frames(path, 56, 61, size=16, gray=True, lacking=1)
    np.testing.assert_array_equal(window[:4], read_frames(path, 56, 60, size=16, gray=True))
    np.testing.assert_array_equal(window[4], window[3])
    with pytest.raises(UserError, match="ends too early"):
        read_frames(path, 56, 62, size=16, gray=True, lacking=1)
    with pytest.raises(UserError, match="ends too early"):
        read_frames(path, 60, 61, size=16, gray=True, lacking=1)


def write_sound(path):
    with av.open(path, "w", format="avi") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))


NO_VIDEOS = {
    "missing": (lambda path: None, "is missing"),
    "a folder": (lambda path: path.mkdir(), "is missing"),
    "empty": (lambda path: path.touch(), "can not be decoded"),
    "a text": (lambda path: path.write_bytes(b"not a video" * 100), "can not be decoded"),
    "a beginning": (lambda path: path.write_bytes(b"RIFF\0\0\0\0AVI "), "can not be decoded"),
    "sound alone": (write_sound, "can not be decoded .no video in it"),
}


@pytest.mark.parametrize(("write", "problem"), NO_VIDEOS.values(), ids=NO_VIDEOS)
def test_a_file_that_is_no_video_is_refused_by_name(tmp_path, write, problem):
    path = tmp_path / "sk_color.avi"
    write(path)
    with pytest.raises(UserError, match=f"sk_color.avi {problem}"):
        read_frames(path, 0, 2, size=16, gray=True)


def test_a_frame_overwritten_with_zeros_is_refused(folder, tmp_path):
    path = tmp_path / "zeros.avi"
    content = bytearray((folder / "h264_one_keyframe.avi").read_bytes())
    with av.open(folder / "h264_one_keyframe.avi") as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    position, size = packets[20]
    content[position + 8 : position + 8 + size] = bytes(size)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"zeros.avi .*restore it"):
        read_frames(path, 0, FRAMES, size=16, gray=True)


def test_a_damaged_file_gives_frames_or_our_error_and_nothing_else(folder, tmp_path):
    originals = [(folder / f"{name}.avi").read_bytes() for name in ("h264_b_frames", "mjpeg")]
    path = tmp_path / "damaged.avi"

    def read(content):
        path.write_bytes(content)
        return read_frames(path, 10, 14, size=16, gray=True)

    for frames in read_or_refuse(read, originals):
        assert frames.shape == (4, 16, 16, 1)
