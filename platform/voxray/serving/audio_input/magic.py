"""The first bytes of files that are not PCM, to reject a client that sends one as PCM."""

BYTES = 4  # of each magic number below
_NAMES = {
    b"\x1a\x45\xdf\xa3": "WebM",
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"ID3\x02": "MP3",
    b"ID3\x03": "MP3",
    b"ID3\x04": "MP3",
}


def may_begin(head: bytes | bytearray) -> bool:
    """Return whether `head`, the start of a stream, is too short to tell that it is none of these."""
    return len(head) < BYTES and any(magic.startswith(head) for magic in _NAMES)


def container(head: bytes | bytearray) -> str | None:
    """Return the kind of file that begins with `head`; None for PCM, of which one in 4 billion looks so."""
    if head[4:8] == b"ftyp":
        return "MP4"
    return _NAMES.get(bytes(head[:BYTES]))
