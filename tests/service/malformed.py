"""What a service must survive: frames and handshakes that are wrong in every way we could think of, by seed.

An `Attack` is one connection that speaks WebSocket: its frames, and how it ends. A `RawAttack` is one that
does not: bytes on a bare socket. Each kind of attack is a function below, and says by its name what it does.
"""

import base64
import json
import math
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from voxray.wire import MAX_BYTE, MAX_FRAME_BYTES, PATH, Start

MEGABYTE = 1 << 20
Frames = tuple[str | bytes, ...]
FIELDS = tuple(Start.model_fields)
HEX = "0123456789abcdef"


class End(Enum):
    """How a client goes."""

    WAITS = "waits"  # until the server has closed
    CLOSES = "closes"  # in good order, whatever is still on its way
    VANISHES = "vanishes"  # without a word


@dataclass(frozen=True)
class Attack:
    """Frames of one WebSocket. One that waits must end in something that the server ends as well."""

    name: str
    frames: Frames
    end: End
    path: str = PATH
    subprotocols: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawAttack:
    """Bytes on a bare socket: `data`, and after an answer `then`. `vanishes`: no last answer is read.

    `is_request`: whether `data` is a whole request, which has an answer.
    """

    name: str
    data: bytes
    then: bytes
    vanishes: bool
    is_request: bool


Making = Callable[[random.Random], Frames]
RawMaking = Callable[[random.Random], bytes]


def attacks(seed: int, messages: int, victim: str) -> Iterator[Attack | RawAttack]:
    """Attacks with at least `messages` frames (a raw attack counts as one). `victim`: another's session."""
    rng = random.Random(seed)
    sent = 0
    while sent < messages:
        attack = _raw(rng) if rng.random() < 0.12 else _framed(rng, victim)
        sent += len(attack.frames) if isinstance(attack, Attack) else 1
        yield attack


def _framed(rng: random.Random, victim: str) -> Attack:
    make, weight = rng.choice(_WEIGHED), rng.random()
    end = End.WAITS if weight < 0.6 else End.VANISHES if weight < 0.85 else End.CLOSES
    frames = make(rng)
    if make is anothers_session:
        frames = (_start(session=victim, resume_token=_digits(rng)), *frames)
    if end is End.VANISHES and len(frames) > 1:
        frames = frames[: rng.randrange(1, len(frames) + 1)]
    if end is End.WAITS and frames:
        frames = (*frames, _message("stop"))
    path = "/" if rng.random() < 0.1 else PATH
    offered = rng.choice([(), (), (), ("voxray.v1",), ("soap",), ("voxray.v1", "voxray.key.YQ")])
    return Attack(make.__name__, frames, end, path, offered)


def _raw(rng: random.Random) -> RawAttack:
    make = rng.choice(RAW)
    then = a_wrong_frame(rng) if make is a_handshake else b""
    name = (a_wrong_frame if then else make).__name__
    return RawAttack(name, make(rng), then, rng.random() < 0.3, make in REQUESTS)


# Text.


def json_of_another_shape(rng: random.Random) -> Frames:
    return tuple(json.dumps(_value(rng, 4)) for _ in range(rng.randrange(1, 8)))


def nested_deeply(rng: random.Random) -> Frames:
    depth = rng.choice([50, 400, 900, 940, 960, 980, 990, 1_000, 5_000, 100_000])
    inner = rng.choice(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth])
    return (inner, f'{{"type":"start","{rng.choice(FIELDS)}":{inner}}}', f'{{"type":{inner}}}')


def huge_numbers(rng: random.Random) -> Frames:
    digits = rng.choice([10, 16, 19, 20, 100, 308, 309, 4_000, 5_000, 100_000])
    number = rng.choice(["", "-"]) + "9" * digits + rng.choice(["", ".5", "e9"])
    return (f'{{"type":"start","{rng.choice(FIELDS)}":{number}}}', bytes(rng.randrange(2_000)))


def numbers_that_are_none(rng: random.Random) -> Frames:
    number = rng.choice(["NaN", "Infinity", "-Infinity", "1e999", "-0.0", "0x10", "1_000"])
    return (f'{{"type":"start","{rng.choice(FIELDS)}":{number}}}', number, f'{{"type":{number}}}')


def surrogates(rng: random.Random) -> Frames:
    lone = rng.choice(["\\ud800", "\\udfff", "\\ud800\\ud800", "\\u0000", "\\ud83d\\ude00"])
    key, value = rng.choice([(rng.choice(FIELDS), lone), (lone, "1"), ("type", lone)])
    return (f'{{"type":"start","{key}":"{value}"}}', f'"{lone}"', f'{{"{lone}":1}}')


def unknown_keys(rng: random.Random) -> Frames:
    key = rng.choice(["sample_rat", "Start", "", " ", "__proto__", "k" * rng.choice([100, 100_000]), "ключ"])
    return (json.dumps({"type": rng.choice(["start", "stop", "finalize"]), key: 1}), _message("finalize"))


def wrong_types(rng: random.Random) -> Frames:
    return (_start(**{rng.choice(FIELDS): _value(rng, 2)}), bytes(320), _message("finalize"))


def values_out_of_range(rng: random.Random) -> Frames:
    field, value = rng.choice(
        [
            ("sample_rate", rng.choice([-1, 0, 1, 3_999, 384_001, 2**31, 2**63])),
            ("channels", rng.choice([-1, 0, 33, 10**9])),
            ("endpoint_ms", rng.choice([0, 299, 5_001, {"min": 700, "max": 600}, {"min": 400}])),
            ("prompt", "p" * rng.choice([2_001, 1_000_000])),
            ("hotwords", "h" * 2_001),
            ("encoding", rng.choice(["opus", "PCM_S16LE", "", "a" * 10_000])),
            ("from_byte", rng.choice([-1, MAX_BYTE, MAX_BYTE + 1, 2**64, 10**400])),
            ("have_segment", rng.choice([-2, 2**31 - 1, 2**31, 10**400])),
            ("api_key", "k" * 513),
        ]
    )
    return (_start(**{field: value}), bytes(3_200), _message("finalize"))


def no_json(rng: random.Random) -> Frames:
    text = "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xA0, 0xD800)])) for _ in range(40))
    cut = _start(prompt=text)[: rng.randrange(60)]
    return (rng.choice([text, cut, "", "null", "'start'", '{"type":"start"}{"type":"stop"}', "\x00"]), text)


def a_long_text(rng: random.Random) -> Frames:
    return ("x" * rng.choice([MEGABYTE, MEGABYTE + 1]), "[" + "1," * (MEGABYTE // 3) + "1]")


def starts_again(rng: random.Random) -> Frames:
    return (_start(), bytes(320), *[_start(language=None)] * rng.randrange(1, 5))


def more_after_stop(rng: random.Random) -> Frames:
    more = bytes(320) if rng.random() < 0.5 else _message("finalize")
    return (_start(), _message("stop"), more, more, more)


def a_storm_of_finalizes(rng: random.Random) -> Frames:
    storm = [_message("finalize")] * rng.choice([5, 11, 40])
    return (_start(), bytes(6_400), *storm)


def nothing(rng: random.Random) -> Frames:
    return ()


# Audio.


def odd_byte_counts(rng: random.Random) -> Frames:
    return tuple(rng.randbytes(2 * rng.randrange(50) + 1) for _ in range(rng.randrange(1, 20)))


def empty_frames(rng: random.Random) -> Frames:
    return tuple(rng.choice([b"", b"", b"\x00"]) for _ in range(rng.randrange(1, 20)))


def text_as_audio(rng: random.Random) -> Frames:
    return tuple(_start(sample_rate=8_000).encode() for _ in range(rng.randrange(1, 6)))


def noise(rng: random.Random) -> Frames:
    return (_start(), *[rng.randbytes(6_400) for _ in range(rng.randrange(1, 6))], _message("finalize"))


def an_odd_format(rng: random.Random) -> Frames:
    start = _start(
        sample_rate=rng.choice([4_000, 4_001, 11_025, 44_100, 48_000, 383_999, 384_000]),
        encoding=rng.choice(["pcm_s16le", "pcm_f32le"]),
        channels=rng.choice([1, 2, 3, 7, 32]),
        endpoint_ms=rng.choice([300, 5_000, {"min": 300, "max": 5_000}]),
        from_byte=rng.choice([0, 0, 1, 128, 12_800, MAX_BYTE // 1_280 * 1_280]),
        have_segment=rng.choice([-1, 0, 2**31 - 1]),
    )
    floats = struct.pack("<4f", math.nan, math.inf, -math.inf, 3.4e38)
    return (start, rng.randbytes(999), floats * 50, _message("finalize"), rng.randbytes(1))


def a_megabyte(rng: random.Random) -> Frames:
    start = _start(sample_rate=rng.choice([4_000, 16_000, 384_000]), channels=rng.choice([1, 32]))
    return (start, bytes(rng.choice([MAX_FRAME_BYTES, MAX_FRAME_BYTES + 1])), bytes(MAX_FRAME_BYTES))


def a_riff_header_that_lies(rng: random.Random) -> Frames:
    size, tag, bits = (
        rng.choice([0, 36, 2**32 - 1]),
        rng.choice([0, 1, 3, 7, 0xFFFE]),
        rng.choice([0, 8, 16, 32]),
    )
    channels, rate = rng.choice([0, 1, 2, 33, 65_535]), rng.choice([0, 1, 16_000, 2**32 - 1])
    block = rng.choice([0, channels * bits // 8]) & 0xFFFF
    form = struct.pack("<4sIHHIIHH", b"fmt ", rng.choice([0, 16, 2**31]), tag, channels, rate, 0, block, bits)
    head = struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + form + struct.pack("<4sI", b"data", size)
    cut = head[: rng.randrange(1, len(head) + 1)]
    return (*_cut(rng, cut), rng.randbytes(333))


def a_container_of_garbage(rng: random.Random) -> Frames:
    magic = rng.choice(
        [b"\x1a\x45\xdf\xa3", b"OggS\x00\x02", b"fLaC", b"ID3\x04", b"\0\0\0\x18ftypisom", b"RIFF"]
    )
    playlist = b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"
    data = rng.choice([magic + rng.randbytes(5_000), magic, playlist, bytes(9_000), rng.randbytes(1)])
    return (_start(encoding="container"), *_cut(rng, data), _message("finalize"))


# Sessions.


def anothers_session(rng: random.Random) -> Frames:
    return (rng.randbytes(320), _message("finalize"))


def a_session_that_is_none(rng: random.Random) -> Frames:
    name = rng.choice(
        ["1.", "1", "../../etc/passwd", "9" * 31 + "." + _digits(rng), f"1.{_digits(rng)}", "", "\0"]
    )
    return (_start(session=name, resume_token=rng.choice([None, "", _digits(rng), "é"])), bytes(320))


FRAMED: dict[Making, int] = {
    json_of_another_shape: 8,
    nested_deeply: 4,
    huge_numbers: 6,
    numbers_that_are_none: 4,
    surrogates: 4,
    unknown_keys: 4,
    wrong_types: 10,
    values_out_of_range: 8,
    no_json: 6,
    a_long_text: 1,
    starts_again: 4,
    more_after_stop: 4,
    a_storm_of_finalizes: 4,
    odd_byte_counts: 8,
    empty_frames: 4,
    text_as_audio: 4,
    noise: 3,
    an_odd_format: 8,
    a_megabyte: 1,
    a_riff_header_that_lies: 8,
    a_container_of_garbage: 8,
    anothers_session: 6,
    a_session_that_is_none: 6,
    nothing: 1,
}
"""The kinds of attack, and how often each comes."""

_TEN_MEGABYTES: tuple[Frames, ...] = (
    (bytes(10_000_000),),
    ("x" * 10_000_000,),
    ('{"type": "start"}', bytes(10_000_000)),
)
BIG = tuple(Attack("ten_megabytes", frames, End.WAITS) for frames in _TEN_MEGABYTES)
"""A few that cost much to send."""

_WEIGHED = [make for make, times in FRAMED.items() for _ in range(times)]


# Below WebSocket.


def bytes_that_are_no_http(rng: random.Random) -> bytes:
    return rng.choice([rng.randbytes(500), b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n" * 50, b"\0" * 4_000])


def http_that_is_nonsense(rng: random.Random) -> bytes:
    return rng.choice(
        [
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"BREW /coffee HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
            b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            b"POST /v1/audio/translations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
            b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ]
    )


def a_path_to_somewhere_else(rng: random.Random) -> bytes:
    up = rng.choice([b"..", b"%2e%2e", b"..%2f..", b"%252e%252e", b"..\\.."])
    root = rng.choice([b"/", b"/assets/", b"/assets//", b"/v1/models/", b"/docs/"])
    return b"GET " + root + (up + b"/") * 8 + b"etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n"


def another_host_or_page(rng: random.Random) -> bytes:
    return _handshake(
        rng,
        **rng.choice(
            [
                {"Host": "evil.example"},
                {"Host": "127.0.0.1.evil.example"},
                {"Host": ""},
                {"Origin": "https://evil.example"},
                {"Origin": "null"},
            ]
        ),
    )


def half_a_handshake(rng: random.Random) -> bytes:
    whole = _handshake(rng)
    return whole[: rng.randrange(1, len(whole))]


def a_handshake_that_is_wrong(rng: random.Random) -> bytes:
    return _handshake(
        rng,
        **rng.choice(
            [
                {"Sec-WebSocket-Version": "7"},
                {"Sec-WebSocket-Key": "short"},
                {"Upgrade": "h2c"},
                {"Connection": "close"},
                {"Sec-WebSocket-Extensions": "x" * 500},
                {"Sec-WebSocket-Protocol": "," * 100},
                {"Authorization": "Bearer " + "x" * 5_000},
            ]
        ),
    )


def a_handshake(rng: random.Random) -> bytes:
    return _handshake(rng)


def a_wrong_frame(rng: random.Random) -> bytes:
    mask = rng.randbytes(4)
    return rng.choice(
        [
            b"\x81\x05hello",  # without a mask
            b"\x83\x80" + mask,  # an opcode that is not used
            b"\xf1\x80" + mask,  # reserved bits
            b"\x80\x80" + mask,  # goes on with nothing
            b"\x09\x80" + mask,  # a ping in parts
            b"\x89\xfe\x00\x7e" + mask + bytes(126),  # a ping that is too long
            b"\x81\x82" + bytes(4) + b"\xff\xfe",  # text that is no UTF-8
            b"\x82\xff" + struct.pack(">Q", 2**62) + mask,  # a frame without end
            b"\x82\xff" + struct.pack(">Q", 2**63 + 1) + mask,
            b"\x88\x81" + bytes(5),  # a close of one byte
            b"\x88\x82" + bytes(4) + b"\x03\xed",  # a close with 1005
            b"\xff" + rng.randbytes(300),
        ]
    )


RAW: tuple[RawMaking, ...] = (
    bytes_that_are_no_http,
    http_that_is_nonsense,
    a_path_to_somewhere_else,
    another_host_or_page,
    half_a_handshake,
    a_handshake_that_is_wrong,
    a_handshake,
    a_handshake,
)
REQUESTS = (a_path_to_somewhere_else, another_host_or_page, a_handshake)


# Parts.


def _message(kind: str, **values: object) -> str:
    return json.dumps({"type": kind, **values})


def _start(**values: object) -> str:
    return _message("start", **values)


def _digits(rng: random.Random) -> str:
    return "".join(rng.choice(HEX) for _ in range(32))


def _cut(rng: random.Random, data: bytes) -> tuple[bytes, ...]:
    step = max(1, len(data) // rng.randrange(1, 6))
    return tuple(data[at : at + step] for at in range(0, len(data), step))


def _value(rng: random.Random, depth: int) -> object:
    """Any JSON value."""
    kind = rng.randrange(9 if depth else 7)
    if kind < 7:
        plain = [None, True, rng.randrange(-9, 10**6), rng.random(), "", "start", _digits(rng)]
        return plain[kind]
    inner = [_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    keys = [rng.choice([*FIELDS, "x"]) for _ in inner]
    return inner if kind == 7 else dict(zip(keys, inner, strict=True))


def _handshake(rng: random.Random, **headers: str) -> bytes:
    """The request that opens a WebSocket, with some headers other than they should be."""
    fields = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(rng.randbytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    lines = [f"GET {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()
