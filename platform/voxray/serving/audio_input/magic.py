"""How files begin that are no PCM: a client that sends one as such is told, and not heard as noise."""

BYTES = 4  # of each beginning below
_NAMES = {
    b"\x1a\x45\xdf\xa3": "WebM",
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"ID3\x02": "MP3",
    b"ID3\x03": "MP3",
    b"ID3\x04": "MP3",
}


def may_begin(head: bytes | bytearray) -> bool:
    """Whether `head`, the start of a stream, is too short to tell that it is none of these."""
    return len(head) < BYTES and any(magic.startswith(head) for magic in _NAMES)


def container(head: bytes | bytearray) -> str | None:
    """What kind of file begins with `head`; None for audio, of which one stream in 4 billion looks so."""
    if head[4:8] == b"ftyp":
        return "MP4"
    return _NAMES.get(bytes(head[:BYTES]))
