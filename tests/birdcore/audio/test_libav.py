"""What encoders and recorders write, each against the length that ffmpeg decodes; and what FFmpeg
may not do with a file."""

import http.server
import io
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
import soundfile as sf

from birdcore.audio.decode import Rejected, decode

SECONDS = 5
FRAMES = SECONDS * 44_100
TONES = "0.3*sin(2*PI*t*(900+300*sin(t)))|0.2*sin(2*PI*t*3000)+0.05*random(0)"

# What makes the file `x` from `base.wav` (5 s, 44.1 kHz, stereo), and a codec frame in samples.
COMMANDS: dict[str, tuple[str, int]] = {
    "vbr.mp3": ("lame --quiet -V2 base.wav x", 1152),
    "vbr without xing.mp3": ("lame --quiet -V4 -t base.wav x", 1152),
    "abr without xing.mp3": ("lame --quiet --abr 112 -t base.wav x", 1152),
    "cbr without xing.mp3": ("lame --quiet -b 96 -t base.wav x", 1152),
    "low rate.mp3": ("lame --quiet --resample 16 -V5 -t base.wav x", 576),
    "lowest rate.mp3": ("lame --quiet --resample 8 -m m -b 16 -t base.wav x", 576),
    "piped.mp3": ("ffmpeg -v error -i base.wav -q:a 4 -f mp3 - > x", 1152),
    "free of tags.mp3": (
        "ffmpeg -v error -i base.wav -q:a 1 -write_xing 0 -id3v2_version 0 x",
        1152,
    ),
    "cover.mp3": (
        "lame --quiet -b 128 -t base.wav y.mp3 && ffmpeg -v error -i y.mp3 -i cover.png -map 0:a "
        "-map 1:v -c copy -id3v2_version 3 -write_xing 0 -disposition:v attached_pic x",
        1152,
    ),
    "cover and vbr.mp3": (
        "lame --quiet -V3 base.wav y.mp3 && ffmpeg -v error -i y.mp3 -i cover.png -map 0:a "
        "-map 1:v -c copy -id3v2_version 4 -disposition:v attached_pic x",
        1152,
    ),
    "joined.mp3": ("lame --quiet -V2 base.wav y.mp3 && cat y.mp3 y.mp3 > x", 1152),
    "joined without xing.mp3": (
        "lame --quiet -b 64 -t base.wav y.mp3 && lame --quiet -V2 -t base.wav z.mp3 && "
        "cat y.mp3 z.mp3 > x",
        1152,
    ),
    "joined rates.mp3": (
        "lame --quiet -V2 base.wav y.mp3 && lame --quiet -V2 --resample 22.05 base.wav z.mp3 && "
        "cat y.mp3 z.mp3 > x",
        1152,
    ),
    "joined channels.mp3": (
        "lame --quiet -V2 base.wav y.mp3 && lame --quiet -m m -V2 base.wav z.mp3 && "
        "cat y.mp3 z.mp3 > x",
        1152,
    ),
    "layer two.mp2": ("ffmpeg -v error -i base.wav x", 1152),
    "plain.flac": ("flac -s base.wav -o x", 4608),
    "piped.flac": ("ffmpeg -v error -i base.wav -f flac - > x", 4608),
    "sox piped.flac": ("sox base.wav -t flac - | cat > x", 4608),
    "tagged.flac": ("flac -s --picture cover.png base.wav -o x", 4608),
    "flac.oga": ("flac -s --ogg base.wav -o x", 4608),
    "flac by ffmpeg.ogg": ("ffmpeg -v error -i base.wav -c:a flac x", 4608),
    "vorbis.ogg": ("ffmpeg -v error -i base.wav -c:a libvorbis x", 2048),
    "speex.spx": ("ffmpeg -v error -i base.wav -ar 16000 -ac 1 -c:a libspeex -f ogg x", 320),
    "opusenc.opus": ("opusenc --quiet base.wav x", 960),
    "opusenc speech.opus": ("opusenc --quiet --bitrate 16 --framesize 60 base.wav x", 2880),
    "ffmpeg.opus": ("ffmpeg -v error -i base.wav -c:a libopus x", 960),
    "chained.opus": (
        "opusenc --quiet base.wav y.opus && ffmpeg -v error -i base.wav -c:a libopus -b:a 24k "
        "z.opus && cat y.opus z.opus > x",
        960,
    ),
    "chained.ogg": (
        "ffmpeg -v error -i base.wav -c:a libvorbis y.ogg && cat y.ogg y.ogg > x",
        2048,
    ),
    "chained rates.ogg": (
        "ffmpeg -v error -i base.wav -c:a libvorbis y.ogg && ffmpeg -v error -i base.wav "
        "-ar 32000 -c:a libvorbis z.ogg && cat y.ogg z.ogg > x",
        2048,
    ),
    "chained channels.ogg": (
        "ffmpeg -v error -i base.wav -ac 1 -c:a libvorbis y.ogg && ffmpeg -v error -i base.wav "
        "-c:a libvorbis z.ogg && cat y.ogg z.ogg > x",
        2048,
    ),
    "piped.wav": ("ffmpeg -v error -i base.wav -f wav - > x", 1),
    "sox piped.wav": ("sox base.wav -t wav - | cat > x", 1),
    "mp3.wav": ("ffmpeg -v error -i base.wav -c:a libmp3lame -f wav x", 1152),
    "a-law.wav": ("ffmpeg -v error -i base.wav -c:a pcm_alaw -f wav x", 1),
    "mu-law.wav": ("ffmpeg -v error -i base.wav -c:a pcm_mulaw -f wav x", 1),
    "adpcm.wav": ("ffmpeg -v error -i base.wav -c:a adpcm_ima_wav -f wav x", 2048),
    "gsm.wav": ("ffmpeg -v error -i base.wav -ar 8000 -ac 1 -c:a libgsm_ms -f wav x", 320),
    "rf64.wav": ("ffmpeg -v error -i base.wav -rf64 always -f wav x", 1),
    "24 bit.wav": ("ffmpeg -v error -i base.wav -c:a pcm_s24le -f wav x", 1),
    "w64.w64": ("ffmpeg -v error -i base.wav x", 1),
    "aac.m4a": ("ffmpeg -v error -i base.wav x", 1024),
    "alac.m4a": ("ffmpeg -v error -i base.wav -c:a alac x", 4096),
    "fragments.m4a": (
        "ffmpeg -v error -i base.wav -movflags frag_keyframe+empty_moov -f mp4 - > x",
        1024,
    ),
    "film.mp4": ("ffmpeg -v error -i cover.png -i base.wav -c:v mpeg4 x", 1024),
    "he.aac": ("ffmpeg -v error -i base.wav x", 1024),
    "windows.wma": ("ffmpeg -v error -i base.wav x", 2048),
    "browser.webm": ("ffmpeg -v error -i base.wav -f webm - > x", 960),
    "vorbis.mka": ("ffmpeg -v error -i base.wav -c:a libvorbis x", 2048),
    "pack.wv": ("ffmpeg -v error -i base.wav x", 22_050),
    "apple.caf": ("ffmpeg -v error -i base.wav x", 1),
    "piped.caf": ("ffmpeg -v error -i base.wav -f caf - > x", 1),
    "sun.au": ("ffmpeg -v error -i base.wav x", 1),
    "true.tta": ("ffmpeg -v error -i base.wav x", 46_080),
    "big endian.aiff": ("ffmpeg -v error -i base.wav x", 1),
    "sox piped.aiff": ("sox base.wav -t aiff - | cat > x", 1),
    "dolby.ac3": ("ffmpeg -v error -i base.wav x", 1536),
}  # fmt: skip


def needs(command: str) -> None:
    for tool in ("ffmpeg", "lame", "sox", "flac", "opusenc"):
        if f"{tool} " in command and shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("ffmpeg ")
    folder = tmp_path_factory.mktemp("workshop")
    for what in (
        f"-f lavfi -i aevalsrc='{TONES}':s=44100:d={SECONDS} -c:a pcm_s16le base.wav",
        "-f lavfi -i testsrc=s=400x400:d=1 -frames:v 1 cover.png",
    ):
        subprocess.run(f"ffmpeg -v error {what}", shell=True, check=True, cwd=folder)
    return folder


def by_ffmpeg(path: Path, rate: int) -> int:
    """Samples per channel that ffmpeg decodes, at this rate."""
    command = ["ffmpeg", "-v", "quiet", "-i", str(path), "-map", "0:a:0", "-ac", "1"]
    command += ["-ar", str(rate), "-f", "f32le", "-"]
    return len(subprocess.run(command, check=True, capture_output=True).stdout) // 4


@pytest.mark.parametrize("name", COMMANDS)
def test_what_ffmpeg_decodes_is_decoded_to_the_same_length(
    workshop: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    command, frame = COMMANDS[name]
    needs(command)
    for shared in ("base.wav", "cover.png"):
        (tmp_path / shared).symlink_to(workshop / shared)
    path = tmp_path / name
    made = subprocess.run(
        command.removesuffix(" x") + f" '{path}'"
        if command.endswith(" x")
        else command.replace(" x", f" '{path}'", 1),
        shell=True, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    if "Unknown encoder" in made.stderr:
        pytest.skip(f"this ffmpeg has no encoder: {made.stderr.strip()}")
    made.check_returncode()
    capfd.readouterr()
    audio = decode(path)
    assert capfd.readouterr() == ("", "")
    assert (audio.problem, audio.truncated, audio.note) == ("", False, "")
    assert abs(audio.frames - by_ffmpeg(path, audio.rate)) <= frame
    joined = 2 if "joined" in name or "chained" in name else 1
    assert audio.duration_s == pytest.approx(joined * SECONDS, abs=0.2)
    assert len(audio.samples) == audio.frames
    assert 0.1 < audio.samples.std() < 0.3


def test_each_segment_of_a_stream_is_whole_and_most_of_the_last_is_not(
    workshop: Path, tmp_path: Path
) -> None:
    command = (
        f"ffmpeg -v error -i base.wav -f segment -segment_time {SECONDS / 3} {tmp_path}/%d.flac"
    )
    subprocess.run(command, shell=True, check=True, cwd=workshop)
    # Behind the last one ffmpeg may leave a file of no frames.
    paths = [path for path in sorted(tmp_path.glob("*.flac")) if path.stat().st_size > 10_000]
    segments = [decode(path) for path in paths]
    assert len(segments) > 1
    assert [segment.problem for segment in segments] == [""] * len(segments)
    assert sum(segment.frames for segment in segments) == by_ffmpeg(workshop / "base.wav", 44_100)
    content = paths[-1].read_bytes()
    paths[-1].write_bytes(content[: -len(content) // 10])
    most = decode(paths[-1])
    assert most.truncated
    assert most.problem.startswith(f"cut off after {most.duration_s:.2f} s")


@pytest.mark.parametrize("name", ["aac.m4a", "pack.wv", "windows.wma", "vorbis.mka", "alac.m4a"])
def test_half_a_file_says_how_much_of_it_is_there(
    workshop: Path, tmp_path: Path, name: str
) -> None:
    command = COMMANDS[name][0].replace("base.wav", str(workshop / "base.wav"))
    start = "-movflags faststart " if name.endswith("m4a") else ""
    command = command.removesuffix("x") + f"{start}{tmp_path / name}"
    subprocess.run(command, shell=True, check=True)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    audio = decode(tmp_path / name)
    assert audio.truncated
    assert audio.problem.startswith(f"cut off after {audio.duration_s:.2f} s of ")
    assert 0.3 < audio.duration_s / SECONDS < 0.7


def encoded(samples: np.ndarray, rate: int, form: str, codec: str) -> bytes:
    """Stereo samples (n, 2) by an encoder of PyAV, so that no tool is needed."""
    target = io.BytesIO()
    with av.open(target, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T, np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "form", "codec"),
    [("a.m4a", "ipod", "aac"), ("a.aac", "adts", "aac"), ("a.ac3", "ac3", "ac3")],
)
def test_channels_that_cancel_are_noticed_in_any_format(
    tmp_path: Path, name: str, form: str, codec: str
) -> None:
    tone = 0.3 * np.sin(np.arange(60_000) / 5)
    (tmp_path / name).write_bytes(encoded(np.stack([-1.1 * tone, tone], 1), 44_100, form, codec))
    audio = decode(tmp_path / name)
    assert audio.note == "channels cancel: channel 1 is used"
    assert audio.frames == pytest.approx(60_000, abs=4_096)
    assert np.abs(audio.samples).max() == pytest.approx(0.33, abs=0.03)


def test_a_film_without_sound_and_a_picture_are_rejected(tmp_path: Path) -> None:
    with av.open(tmp_path / "film.mp4", "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        frame = av.VideoFrame(64, 64, "yuv420p")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(Rejected, match="holds only pictures"):
        decode(tmp_path / "film.mp4")
    picture = b"\x89PNG\r\n\x1a\n" + bytes(500)
    for name in ("picture.ogg", "picture.m4a"):
        (tmp_path / name).write_bytes(picture)
        with pytest.raises(Rejected, match="not a readable sound file"):
            decode(tmp_path / name)


class _Asked(http.server.BaseHTTPRequestHandler):
    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{there}\n#EXT-X-ENDLIST\n",
    "m3u": "#EXTM3U\n#EXTINF:5,x\n{there}\n",
    "concat": "ffconcat version 1.0\nfile '{there}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio {port} RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    "<Period><AdaptationSet mimeType='audio/mp4'><Representation id='1' bandwidth='1'>"
    "<BaseURL>{there}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "asx": '<asx version="3.0"><entry><ref href="{there}"/></entry></asx>',
    "reference": "[Reference]\nRef1={there}\n",
}


@pytest.mark.parametrize("suffix", [".ogg", ".mp3", ".m4a", ".wav"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_no_file_makes_the_decoder_open_another(tmp_path: Path, kind: str, suffix: str) -> None:
    sf.write(tmp_path / "other.wav", np.full(32_000, 0.1), 32_000)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Asked) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        _Asked.paths.clear()
        try:
            port = server.server_address[1]
            for there in (f"http://127.0.0.1:{port}/a{suffix}", str(tmp_path / "other.wav"),
                          "other.wav"):  # fmt: skip
                text = PLAYLISTS[kind].format(there=there, port=port)
                (tmp_path / f"list{suffix}").write_text(text * 3)
                with pytest.raises(Rejected, match="not a readable sound file"):
                    decode(tmp_path / f"list{suffix}")
        finally:
            server.shutdown()
            thread.join()
    assert _Asked.paths == []


def test_an_mp4_that_names_its_sound_in_another_file_does_not_open_it(tmp_path: Path) -> None:
    sf.write(tmp_path / "other.wav", np.full(32_000, 0.1), 32_000)
    content = encoded(np.zeros((9_000, 2)), 44_100, "mov", "aac")
    assert b"url \0\0\0\x01" in content  # flag 1: the sound is in this file
    name = str(tmp_path / "other.wav").encode() + b"\0"
    at = content.index(b"url \0\0\0\x01")
    content = content[:at] + b"url \0\0\0\0" + name[: len(content)] + content[at + 8 + len(name) :]
    (tmp_path / "a.m4a").write_bytes(content)
    with pytest.raises(Rejected):
        decode(tmp_path / "a.m4a")


def test_nothing_is_bound_or_asked_for_an_address_in_a_name(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        name = f"tcp:127.0.0.1:{listener.getsockname()[1]}.ogg"
        (tmp_path / name).write_bytes(b"OggS" + bytes(400))
        with pytest.raises(Rejected):
            decode(tmp_path / name)
        with pytest.raises(BlockingIOError):
            listener.accept()
