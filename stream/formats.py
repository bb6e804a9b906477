"""Which kind of file some bytes begin, by name: what is read, what only a file can be, and what is no sound at all."""

from __future__ import annotations

import re

HEAD_BYTES = 64  # so many are enough to tell
CONVERT = "convert it: ffmpeg -i INPUT speech.wav"
ATOMS = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")  # that begin a file of the MPEG-4 and QuickTime family

# What the sound library reads from a file. It seeks in some of them, so that none is read from a pipe.
READABLE = {
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"RF64": "RF64",
    b"RIFX": "big-endian WAV",
    b"FORM": "AIFF",
    b"ID3": "MP3",
    b".snd": "AU",
    b"dns.": "little-endian AU",
    b"caff": "CAF",
    b"riff": "W64",
    b"2BIT": "AVR",
    b"MATLAB 5.0": "MAT5",
    b" paf": "PAF",
    b"fap ": "PAF",
    b"PVF1": "PVF",
    b"NIST_1A": "NIST SPHERE",
    b"Creative Voice": "VOC",
    b"ALawSoundFile": "WVE",
    b"Extended Instru": "XI",
}
READABLE_AT = {b"\x00\x00\x03\xe8\x00\x00\x00\x01": "MAT4", b"\x00\x00\x00\x00\x01\x00\x00\x00": "MAT4"}

# Containers and other things that nothing here reads; each would be noise if its bytes were taken for samples.
FOREIGN = {
    b"\x1a\x45\xdf\xa3": "WebM or Matroska",
    b"#!AMR": "AMR",
    b"\x30\x26\xb2\x75": "WMA",
    b"MAC ": "Monkey's Audio",
    b"wvpk": "WavPack",
    b"TTA1": "True Audio",
    b"MPCK": "Musepack",
    b"MP+": "Musepack",
    b"FLV": "Flash video",
    b".RMF": "RealMedia",
    b".ra\xfd": "RealAudio",
    b"#!SILK": "SILK",
    b"\x02#!SILK": "SILK",
    b"DSD ": "DSD",
    b"FRM8": "DSD",
    b"MThd": "MIDI",
    b"ADIF": "AAC",
    b"BW64": "BW64",
    b"DECT": "SPHERE, shortened",
    b"ajkg": "Shorten",
    b"OFR ": "OptimFROG",
    b"\x00\x00\x01\xba": "MPEG video",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b\x08": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "a 7z archive",
    b"%PDF": "PDF",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"\x7fELF": "a program",
}
_TEXT = re.compile(rb"[\t\n\x0c\r\x20-\x7e]{16,}")
_MARKUP = re.compile(rb"\s*<(!doctype html|html|head|\?xml|!--)", re.IGNORECASE)


def name_of(head: bytes) -> tuple[str, bool] | None:
    """The name of what begins like this, and whether the sound library reads it; None for what has no header that is known.

    head: its first 64 bytes, or all of it. WAV is (`WAV`, True).
    """
    if head[:4] == b"RIFF":
        kind = head[8:12]
        return ("WAV", True) if kind == b"WAVE" or len(kind) < 4 else ("AVI" if kind == b"AVI " else "RIFF without sound", False)
    for table, readable in ((FOREIGN, False), (READABLE, True)):
        for magic, name in table.items():
            if head.startswith(magic):
                return name, readable
    if head[4:8] in ATOMS and len(head) >= 8:
        return "MPEG-4 (m4a, mp4, mov, 3gp)", False
    if _MARKUP.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "HTML", False
    if head[:3] == b"\xef\xbb\xbf" or _TEXT.fullmatch(head):
        return "text", False
    frame = _mpeg_frame(head)
    if frame:
        return frame
    return _weak(head)


def _mpeg_frame(head: bytes) -> tuple[str, bool] | None:
    """MP3 and AAC without a container: their frames begin with eleven or twelve ones."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:  # layer 0
        rate, channels = head[2] >> 2 & 15, (head[2] & 1) << 2 | head[3] >> 6
        return ("AAC", False) if rate < 13 and channels else None
    version, layer, rate, bits = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 2 & 3, head[2] >> 4
    plain = head[3] & 3 == 0  # emphasis, which hardly any file has and most random bytes
    return ("MP3", True) if version != 1 and layer and rate != 3 and 0 < bits < 15 and plain else None


def _weak(head: bytes) -> tuple[str, bool] | None:
    """Formats whose first bytes may as well be samples: they count where what follows fits, too."""
    for magic, name in READABLE_AT.items():
        if head.startswith(magic):
            return name, True
    if head[:1] == b"\x47" and head[188:189] in (b"", b"\x47") and head[1:4] == b"\x40\x00\x10":
        return "MPEG transport stream", False
    if head[:2] == b"\xf0\x7e" and head[3:4] == b"\x01":
        return "SDS", True
    if head[:3] in (b"\x64\xa3\x01", b"\x64\xa3\x02", b"\x64\xa3\x03", b"\x64\xa3\x04") or head[:4] in (
        b"\x00\x01\xa3\x64",
        b"\x00\x02\xa3\x64",
        b"\x00\x03\xa3\x64",
    ):
        return "IRCAM", True
    if head[:2] == b"\x01\x04" and all(byte in b"\0" or 32 <= byte < 127 for byte in head[2:18]):
        return "MPC2K", True
    return None
