"""Recordings that are damaged in every way that disks, downloads, editors and attackers damage them; seeded.

Each mutation is of one of the `originals`: WAV, FLAC, OGG, MP3, M4A and Opus files, a second or two long.
"""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 44_100
KINDS = ("wav", "flac", "ogg", "mp3", "m4a", "opus")


def write_originals(folder: Path) -> dict[str, bytes]:
    """Healthy files `original.<kind>` of noise and tones, and their bytes by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    time = np.arange(round(1.5 * RATE)) / RATE
    samples = np.stack([0.3 * np.sin(2 * np.pi * f * time) for f in (330, 660)], axis=1)
    samples = (samples + 0.05 * rng.standard_normal(samples.shape)).astype(np.float32)
    for kind in KINDS:
        path = folder / f"original.{kind}"
        if kind in ("m4a", "opus"):
            _encode(path, samples, "aac" if kind == "m4a" else "libopus")
        else:
            soundfile.write(path, samples, RATE)
    originals = {kind: (folder / f"original.{kind}").read_bytes() for kind in KINDS}
    return originals | {kind: _with_fixed_serial(originals[kind]) for kind in ("ogg", "opus")}


def _encode(path: Path, samples: np.ndarray, codec: str) -> None:
    rate = 48_000 if codec == "libopus" else RATE
    with av.open(str(path), "w", format="ogg" if codec == "libopus" else None) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        size = stream.codec_context.frame_size or 1024
        cutter = av.AudioResampler(format=stream.format.name, layout="stereo", rate=rate, frame_size=size)
        for piece in [*cutter.resample(frame), *cutter.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def write_mutations(folder: Path, count: int, *, seed: int = 0, bombs: bool = True) -> list[Path]:
    """Writes `count` files into `folder`: half of them damaged at random, the others with headers that lie.

    Among them are a few bombs: small files that say truly that they hold hours of silence.
    """
    originals = write_originals(folder / "originals")
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        mutations = [*RANDOM, *RANDOM, *LIES[kind]]
        mutate = mutations[rng.integers(len(mutations))]
        data = mutate(bytearray(originals[kind]), rng)
        name = mutate.__name__.strip("_")
        if number % 9 == 8:
            kind, name = KINDS[rng.integers(len(KINDS))], f"misnamed_{name}"
        path = folder / f"{number:04d}_{name}.{kind}"
        path.write_bytes(data)
        paths.append(path)
    if bombs:
        for path in paths[-len(BOMBS) :]:
            path.unlink()
        paths[-len(BOMBS) :] = [bomb(folder) for bomb in BOMBS]
    return paths


def _flip_bits(data: bytearray, rng: np.random.Generator) -> bytes:
    for place in rng.integers(0, len(data), 2 ** rng.integers(0, 9)):
        data[place] ^= 1 << rng.integers(8)
    return bytes(data)


def _flip_header(data: bytearray, rng: np.random.Generator) -> bytes:
    for place in rng.integers(0, min(200, len(data)), 2 ** rng.integers(0, 5)):
        data[place] = rng.integers(256)
    return bytes(data)


def _set_extremes(data: bytearray, rng: np.random.Generator) -> bytes:
    for place in rng.integers(0, min(400, len(data) - 8), 4):
        data[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\0\0\0\0"])
    return bytes(data)


def _truncate(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: rng.integers(len(data))])


def _truncate_header(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: rng.integers(100)])


def _remove_middle(data: bytearray, rng: np.random.Generator) -> bytes:
    start = rng.integers(len(data))
    return bytes(data[:start] + data[start + rng.integers(1, 5000) :])


def _zero_middle(data: bytearray, rng: np.random.Generator) -> bytes:
    start, length = rng.integers(len(data)), rng.integers(1, 5000)
    return bytes(data[:start] + bytes(length) + data[start + length :])


def _insert_noise(data: bytearray, rng: np.random.Generator) -> bytes:
    start = rng.integers(len(data))
    return bytes(data[:start] + rng.bytes(rng.integers(1, 5000)) + data[start:])


def _repeat_itself(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data * int(rng.integers(2, 5)))


def _only_noise(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: rng.integers(0, 64)]) + rng.bytes(int(rng.integers(1, 20_000)))


RANDOM: tuple[Callable[[bytearray, np.random.Generator], bytes], ...] = (
    _flip_bits,
    _flip_header,
    _set_extremes,
    _truncate,
    _truncate_header,
    _remove_middle,
    _zero_middle,
    _insert_noise,
    _repeat_itself,
    _only_noise,
)


def _pick(rng: np.random.Generator, *values: int) -> int:
    return values[rng.integers(len(values))]


def _wav_lies(data: bytearray, rng: np.random.Generator) -> bytes:
    """WAV's `fmt ` chunk: channels, rate, bytes per second, block, bits; then the size of `data`."""
    place = data.index(b"fmt ") + 8
    channels, rate = _pick(rng, 0, 2, 255, 1024, 65_535), _pick(rng, 0, 1, 8000, 2**31, 2**32 - 1)
    bits = _pick(rng, 0, 8, 16, 24, 32, 64, 255)
    struct.pack_into("<HIIHH", data, place + 2, channels, rate, rate & 0xFFFF_FFFF, _pick(rng, 0, 1, 4, 65_535), bits)
    struct.pack_into("<I", data, data.index(b"data") + 4, _pick(rng, 0, 3, 2**31, 2**32 - 1))
    return bytes(data)


def _wav_as_rf64(data: bytearray, rng: np.random.Generator) -> bytes:
    """A 64-bit WAV of 2**60 bytes."""
    size = _pick(rng, 2**40, 2**60, 2**63 - 1, 2**64 - 1)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, size, size, size // 4, 0)
    return b"RF64\xff\xff\xff\xffWAVE" + ds64 + bytes(data[12:])


def _au_of_many_channels(data: bytearray, rng: np.random.Generator) -> bytes:
    """Sun's format, which gives channels and rate 32 bits each: 2**31 channels."""
    channels, rate = _pick(rng, 2**31, 2**31 - 1, 2**16, 1024), _pick(rng, 1, RATE, 2**31)
    return struct.pack(">4s5I", b".snd", 24, _pick(rng, 2**32 - 1, 2**31, 100), 3, rate, channels) + bytes(data[44:])


def _caf_of_many_channels(data: bytearray, rng: np.random.Generator) -> bytes:
    """Apple's format: 2**31 channels of float32 at any rate."""
    channels, rate = _pick(rng, 2**31, 2**31 - 1, 65_536, 1025), float(_pick(rng, 0, 1, RATE, 2**62))
    description = struct.pack(">d4s5I", rate, b"lpcm", 0, channels * 4 % 2**32, 1, channels, 32)
    chunks = b"desc" + struct.pack(">q", 32) + description + b"data" + struct.pack(">qI", -1, 0)
    return b"caff\0\1\0\0" + chunks + bytes(data[44:])


def _flac_lies(data: bytearray, rng: np.random.Generator) -> bytes:
    """FLAC's STREAMINFO: 20 bits of rate, 3 of channels, 5 of depth, 36 of length: at 1 Hz, 2,000 years."""
    rate, channels, depth = _pick(rng, 0, 1, 10, RATE, 655_350), _pick(rng, 0, 1, 7), _pick(rng, 3, 15, 31)
    length = _pick(rng, 0, 1, 10**9, 2**36 - 1)
    struct.pack_into(">Q", data, 18, rate << 44 | channels << 41 | depth << 36 | length)
    struct.pack_into(">HH", data, 8, _pick(rng, 0, 16, 65_535), _pick(rng, 0, 16, 4096, 65_535))
    return bytes(data)


def _mp3_lies(data: bytearray, rng: np.random.Generator) -> bytes:
    """The Xing header's number of frames: 2**32 - 1 of them are 1,300 days."""
    tag = max(data.find(b"Xing"), data.find(b"Info"))
    if tag >= 0:
        struct.pack_into(">II", data, tag + 8, _pick(rng, 0, 1, 10**9, 2**32 - 1), _pick(rng, 0, 2**32 - 1))
    return bytes(data)


def _mp3_behind_a_huge_tag(data: bytearray, rng: np.random.Generator) -> bytes:
    """An ID3 tag that says it is 256 MB long."""
    return b"ID3\4\0\0" + bytes([0x7F, 0x7F, _pick(rng, 0, 0x7F), 0x7F]) + bytes(data)


def _mp4_lies(data: bytearray, rng: np.random.Generator) -> bytes:
    """MP4's boxes for time (10**9 s), sample counts (2**31) and channels."""
    for box in (b"mvhd", b"mdhd"):
        struct.pack_into(">II", data, data.index(box) + 16, _pick(rng, 0, 1, 1000), _pick(rng, 0, 10**9, 2**32 - 1))
    lie = (b"stts", b"stsz", b"stsc", b"stco", b"mp4a", b"none")[rng.integers(6)]
    if lie == b"mp4a":
        struct.pack_into(">HH", data, data.index(lie) + 20, _pick(rng, 0, 255, 65_535), _pick(rng, 0, 16, 65_535))
    elif lie in data:
        place = data.index(lie) + (12 if lie == b"stsz" else 8)
        struct.pack_into(">I", data, place, _pick(rng, 0, 2**31 - 1, 2**32 - 1))
    return bytes(data)


def _mp4_of_deep_boxes(data: bytearray, rng: np.random.Generator) -> bytes:
    """Ten thousand boxes in one another."""
    boxes = b"".join(struct.pack(">I4s", 2**31 - 8 * depth, b"moov") for depth in range(_pick(rng, 100, 10_000)))
    return bytes(data[:32]) + boxes + bytes(data[32:])


def _ogg_lies(data: bytearray, rng: np.random.Generator) -> bytes:
    """Vorbis' and Opus' headers (255 channels, any rate), and an end 10**9 s later; checksums are right."""
    pages = _ogg_pages(data)
    first, last = pages[0], pages[-1]
    place = first.find(b"\x01vorbis")
    if place >= 0:
        struct.pack_into("<BI", first, place + 11, _pick(rng, 0, 1, 2, 8, 255), _pick(rng, 0, 1, RATE, 2**32 - 1))
    elif (place := first.find(b"OpusHead")) >= 0:
        struct.pack_into("<BHI", first, place + 9, _pick(rng, 0, 2, 8, 255), _pick(rng, 0, 65_535), RATE)
        first[place + 18] = _pick(rng, 0, 1, 2, 255)
    struct.pack_into("<q", last, 6, _pick(rng, 0, 10**9 * RATE, 2**62, -1))
    return b"".join(_with_checksum(page) for page in pages)


def _ogg_pages(data: bytearray) -> list[bytearray]:
    pages, start = [], 0
    while start < len(data):
        segments = data[start + 26]
        size = 27 + segments + sum(data[start + 27 : start + 27 + segments])
        pages.append(data[start : start + size])
        start += size
    return pages


def _with_fixed_serial(data: bytes) -> bytes:
    """Ogg streams have random numbers, which would make every run's files others."""
    pages = _ogg_pages(bytearray(data))
    for page in pages:
        struct.pack_into("<I", page, 14, 1)
    return b"".join(_with_checksum(page) for page in pages)


def _crc_of(byte: int) -> int:
    checksum = byte << 24
    for _ in range(8):
        checksum = checksum << 1 & 0xFFFF_FFFF ^ (0x04C11DB7 if checksum & 0x8000_0000 else 0)
    return checksum


_CRC_TABLE = [_crc_of(byte) for byte in range(256)]


def _with_checksum(page: bytearray) -> bytes:
    """CRC-32 with the polynomial 0x04C11DB7, not reflected, over the page with the field zeroed (RFC 3533, 6)."""
    struct.pack_into("<I", page, 22, 0)
    checksum = 0
    for byte in page:
        checksum = (checksum << 8 & 0xFFFF_FFFF) ^ _CRC_TABLE[checksum >> 24 ^ byte]
    struct.pack_into("<I", page, 22, checksum)
    return bytes(page)


LIES: dict[str, tuple[Callable[[bytearray, np.random.Generator], bytes], ...]] = {
    "wav": (_wav_lies, _wav_lies, _wav_as_rf64, _au_of_many_channels, _caf_of_many_channels),
    "flac": (_flac_lies,) * 4,
    "ogg": (_ogg_lies,) * 4,
    "mp3": (_mp3_lies, _mp3_behind_a_huge_tag),
    "m4a": (_mp4_lies, _mp4_lies, _mp4_lies, _mp4_of_deep_boxes),
    "opus": (_ogg_lies,) * 4,
}


def _flac_bomb(folder: Path) -> Path:
    """Three minutes of silence at 96 kHz, eight channels: 550 MB as float32 in half a megabyte."""
    path = folder / "bomb.flac"
    with soundfile.SoundFile(path, "w", 96_000, 8, "PCM_16", compression_level=0.0) as file:
        block = np.zeros((96_000 * 10, 8), np.int16)
        for _ in range(6 * 3):
            file.write(block)
    return path


def _wav_bomb(folder: Path) -> Path:
    """Four gigabytes of zeros that take no room on the disk."""
    path = folder / "bomb.wav"
    size = 2**32 - 100
    header = (
        b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 2, RATE, 4 * RATE, 4, 16)
    )
    with path.open("wb") as file:
        file.write(header + b"data" + struct.pack("<I", size))
        file.truncate(44 + size)
    return path


def _wide_wav_bomb(folder: Path) -> Path:
    """The most that a header may say: a second of it takes 200 MB."""
    path = folder / "wide_bomb.wav"
    rate, channels = 768_000, 64
    size = 2**32 - 104
    header = struct.pack("<IHHIIHH", 16, 1, channels, rate, 0, channels * 2, 16)
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + header + b"data" + struct.pack("<I", size))
        file.truncate(44 + size)
    return path


def _mp3_bomb(folder: Path) -> Path:
    """An hour of silence whose length no header gives: all packets have to be counted."""
    path = folder / "bomb.mp3"
    frame = b"\xff\xfb\x10\xc4" + bytes(100)  # 32 kbit/s, 44.1 kHz: 104 bytes, 1152 samples
    path.write_bytes(frame * (3600 * RATE // 1152))
    return path


BOMBS: tuple[Callable[[Path], Path], ...] = (_flac_bomb, _wav_bomb, _wide_wav_bomb, _mp3_bomb)
