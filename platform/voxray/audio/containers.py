"""The containers that FFmpeg is allowed to open, and the files that are looked for by their suffix.

None of these demuxers opens another file or URL: there are no playlists, image sequences, raw formats or
devices among them, and FFmpeg follows the references of MOV only when it is told to.
"""

SUFFIXES = {
    "wav": ".wav",
    "w64": ".w64",
    "aiff": ".aif .aiff .aifc",
    "au": ".au .snd",
    "caf": ".caf",
    "voc": ".voc",
    "flac": ".flac",
    "mp3": ".mp3 .mp2",
    "aac": ".aac",
    "loas": ".latm .loas",
    "ac3": ".ac3",
    "eac3": ".eac3",
    "amr": ".amr",
    "tta": ".tta",
    "wv": ".wv",
    "ogg": ".ogg .oga .opus .ogv .spx",
    "matroska": ".mka .mkv",
    "webm": ".webm",
    "mov": ".mov .m4a .m4b .3gp .3g2",
    "mp4": ".mp4 .m4v",
    "mpegts": ".ts .m2ts .mts",
    "mpeg": ".mpg .mpeg .vob",
    "asf": ".wma .wmv .asf",
    "avi": ".avi",
    "flv": ".flv",
}
"""FFmpeg's names of containers, and the usual suffixes of their files."""

CONTAINERS = ",".join(SUFFIXES)
EXTENSIONS = frozenset(" ".join(SUFFIXES.values()).split())
SAFE_OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": ""}  # for FFmpeg

WITH_CLOCK = frozenset({"flac", "ogg", "matroska", "mov", "mpegts", "mpeg", "asf", "flv"})
"""Containers that store when a packet is played. In the others, packets follow one another."""

WITH_LENGTH = frozenset({"flac", "aiff", "mov", "au", "caf", "tta", "wv"})
"""Containers whose header says exactly how long they are."""

MAY_HAVE_HOLES = frozenset({"matroska", "mov", "flv"})
"""Of the containers with a length, those whose holes are no damage."""
