"""Films of others: a real one is understood, and what is none, or cut, is refused in words."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.errors import RefusedFile
from apps.foreign.videos import FilmIndex, read_index, write_poster
from tests.films import encode

LAW = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return encode(path, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart")


def test_a_film_says_its_size_and_duration_and_has_a_still(film: Path, tmp_path: Path) -> None:
    index = read_index(film)
    assert index == FilmIndex(64, 48, 0.5)
    poster = tmp_path / "poster.webp"
    write_poster(film, poster, index.duration_s)
    assert poster.read_bytes()[8:12] == b"WEBP"
    assert [path.name for path in tmp_path.iterdir()] == ["poster.webp"]


def test_a_codec_that_browsers_do_not_play_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedFile, match="coded as mp4v, which browsers do not play"):
        read_index(encode(tmp_path / "old.mp4", "-c:v", "mpeg4"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut short"),
        (b"RIFF", "cut short"),
        (b"GIF89a" + bytes(100), "cut short|ftyp"),
        (struct.pack(">I4s", 16, b"moov") + bytes(8), "does not begin with an ftyp"),
        (struct.pack(">I4s4s", 12, b"ftyp", b"isom"), "no index"),
        (struct.pack(">I4s4sI4s", 12, b"ftyp", b"isom", 1 << 31, b"moov"), "cut short"),
    ],
)
def test_what_is_no_mp4_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(RefusedFile, match=words):
        read_index(path)


@given(st.data())
@LAW
def test_a_damaged_film_is_refused_or_read_and_never_crashes(
    film: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(film.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 900))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        index = read_index(path)
    except RefusedFile:
        return
    assert index.duration_s > 0


def test_a_film_whose_pictures_are_gone_is_refused(film: Path, tmp_path: Path) -> None:
    content = film.read_bytes()
    start = content.index(b"mdat") + 4
    path = tmp_path / "empty.mp4"
    path.write_bytes(content[:start] + bytes(len(content) - start))
    with pytest.raises(RefusedFile, match="ffmpeg cannot decode it"):
        write_poster(path, tmp_path / "poster.webp", 0.5)
