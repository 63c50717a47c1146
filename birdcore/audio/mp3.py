"""The head of an mp3: which kind of frames it has, and what its Xing header says of their count."""

from dataclasses import dataclass

ID3V1 = 128
BITRATES = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s of layer III by index, from 1: of version 1, and of versions 2 and 2.5."""
RATES = (44_100, 48_000, 32_000)
SAME = 0xFFFEFC00
"""What two frames of constant bit rate have in common: version, layer, bit rate and rate."""
LAYER_III = 0xFFE20000


@dataclass(frozen=True)
class Xing:
    """frames: how many it counts; bytes: how long they are, 0 where it does not say."""

    frames: int
    bytes: int


def behind_tags(head: bytes) -> int:
    """How long the ID3v2 tag is with which `head` begins; 0 where there is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    length = 0
    for byte in head[6:10]:
        length = length << 7 | byte & 0x7F
    return 10 + length + (10 if head[5] & 0x10 else 0)


def frame_length(head: bytes) -> int:
    """Bytes of the frame of layer III with which `head` begins; 0 where there is none."""
    header = int.from_bytes(head[:4], "big")
    if len(head) < 4 or header & 0xFFE60000 != LAYER_III:
        return 0
    version, bitrate, rate = header >> 19 & 3, header >> 12 & 15, header >> 10 & 3
    if version == 1 or not 0 < bitrate < 15 or rate == 3:
        return 0
    hertz = RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits = 1_000 * BITRATES[version == 3][bitrate - 1]
    return samples_per_frame(head) // 8 * bits // hertz + (header >> 9 & 1)


def samples_per_frame(head: bytes) -> int:
    return 1152 if head[1] & 0x18 == 0x18 else 576


def xing(head: bytes) -> Xing | None:
    """The Xing or Info header in the frame with which `head` begins."""
    mono = head[3] >> 6 == 3
    side = (17 if mono else 32) if samples_per_frame(head) == 1152 else (9 if mono else 17)
    found = head[4 + side : 20 + side]
    if found[:4] not in (b"Xing", b"Info") or len(found) < 16 or not found[7] & 1:
        return None
    length = int.from_bytes(found[12:16], "big") if found[7] & 2 else 0
    return Xing(int.from_bytes(found[8:12], "big"), length)


def seems_constant(head: bytes) -> bool:
    """Whether the first two frames have the same bit rate."""
    following = head[frame_length(head) :]
    first, second = (int.from_bytes(data[:4], "big") & SAME for data in (head, following))
    return first == second
