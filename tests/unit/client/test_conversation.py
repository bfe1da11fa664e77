import json
from struct import pack

import pytest

from voxray.client.conversation import FIRST_CREDIT_S, Conversation, ConversationState, Event
from voxray.errors import ServiceError, WireError
from voxray.wire import (
    Ack,
    Close,
    Done,
    Error,
    Final,
    Finalized,
    Partial,
    Ready,
    ServerMessage,
    SpeechStart,
    Start,
    render,
)

SECOND = 32_000


def receive(client: Conversation, *messages: ServerMessage) -> list[Event]:
    return [event for message in messages for event in client.receive_message(render(message))]


def ready(received: int = 0, *, resumed: bool = False) -> Ready:
    return Ready("0.a", "token", resumed, received, "model")


def opened(start: Start | None = None) -> Conversation:
    client = Conversation(start or Start())
    client.opened()
    receive(client, ready())
    return client


def sent(client: Conversation) -> list[str | int]:
    """What it sends now: texts, and the sizes of audio."""
    found = list[str | int]()
    while (message := client.message_to_send()) is not None:
        found.append(len(message) if isinstance(message, bytes) else json.loads(message)["type"])
    return found


def again(client: Conversation, received: int, *, resumed: bool = True) -> dict[str, object]:
    """A loss and a new connection; the `start` on it."""
    client.closed(1006)
    start: dict[str, object] = json.loads(client.opened())
    receive(client, ready(received, resumed=resumed))
    return start


def test_start_has_only_what_differs_from_the_defaults() -> None:
    assert json.loads(Conversation(Start(words=True)).opened()) == {"type": "start", "words": True}


def test_a_resume_names_the_session_and_what_is_here() -> None:
    client = opened()
    client.add(bytes(3 * SECOND))
    sent(client)
    receive(client, Final(0, 0.5, 1.0, "one"), Ack(SECOND, 100, 9 * SECOND, 1.0, 0.0))

    assert again(client, 2 * SECOND) == {
        "type": "start",
        "session": "0.a",
        "resume_token": "token",
        "have_segment": 0,
        "from_byte": SECOND,  # where the final ended, though the ack still kept what is before
    }
    assert sent(client) == [SECOND]


def test_nothing_is_sent_before_ready_and_little_before_the_first_ack() -> None:
    client = Conversation(Start())
    client.opened()
    client.add(bytes(10 * SECOND))

    assert sent(client) == []
    receive(client, ready())
    assert sent(client) == [SECOND] * int(FIRST_CREDIT_S)
    receive(client, Ack(2 * SECOND, 0, SECOND // 2, 0.0, 2.0))
    assert sent(client) == [SECOND // 2]


def test_controls_keep_their_place_between_the_audio() -> None:
    client = opened()
    client.add(bytes(10))
    client.finalize()
    client.add(bytes(20))
    client.stop()

    assert sent(client) == [10, "finalize", 20, "stop"]


def test_a_finalize_in_the_replay_is_sent_again_in_its_place() -> None:
    client = opened()
    client.add(bytes(10))
    client.finalize()
    client.add(bytes(20))
    sent(client)
    again(client, 4)

    assert sent(client) == [6, "finalize", 20]


def test_a_finalize_that_the_server_had_is_not_sent_again_inside_later_audio() -> None:
    client = opened()
    client.add(bytes(10))
    client.finalize()
    client.add(bytes(20))
    sent(client)
    again(client, 16)

    assert sent(client) == [14]
    ack = Ack(30, 12, SECOND, 0.0, 0.0)
    assert receive(client, ack) == [Finalized(), ack]  # nothing before it is kept: it was answered
    assert receive(client, Finalized()) == []


def test_stable_text_is_never_taken_back() -> None:
    client = opened()
    receive(client, Partial(0, 0.0, 1.0, "turn on the", " light"))

    assert receive(client, Partial(0, 0.0, 0.8, "turn", " on")) == []
    assert len(receive(client, Partial(0, 0.0, 1.2, "turn on the lights", ""))) == 1


def test_an_hour_of_silence_takes_no_memory() -> None:
    client = opened()
    for second in range(3_600):
        client.add(bytes(SECOND))
        sent(client)
        end = (second + 1) * SECOND
        receive(client, Ack(end, end - SECOND // 2, 30 * SECOND, second + 1.0, 0.0))
        assert client.held <= 2 * SECOND


def test_a_header_that_may_say_another_rate_leaves_the_times_alone() -> None:
    client = opened()
    client.add(b"RIFF" + bytes(2 * SECOND))
    sent(client)
    receive(client, Final(0, 0.0, 1.0, "one"))

    assert again(client, SECOND)["from_byte"] == 0


def wav(rate: int = 16_000, *, before: bytes = b"", extensible: bool = False, tag: int = 1) -> bytes:
    """The header of a mono file of 16 bits, with a chunk `before` its format or none."""
    form = pack("<HHIIHH", 0xFFFE if extensible else tag, 1, rate, 2 * rate, 2, 16)
    if extensible:
        form += pack("<HHIH", 22, 16, 4, tag) + bytes.fromhex("000000001000800000aa00389b71")
    chunks = before + b"fmt " + pack("<I", len(form)) + form + b"data" + pack("<I", 0xFFFFFFFF)
    return b"RIFF" + pack("<I", 0xFFFFFFFF) + b"WAVE" + chunks


@pytest.mark.parametrize(
    "header",
    [
        wav(8_000),
        wav(tag=7),
        wav(before=b"JUNK" + pack("<I", 8_000)),
        b"RIFF" + bytes(100),
        wav()[:30] + b"?",
    ],
    ids=["rate", "format", "far", "nonsense", "cut"],
)
@pytest.mark.parametrize("piece", [1, 7, SECOND])
def test_a_header_that_differs_cannot_be_gone_on_with_in_a_new_session(header: bytes, piece: int) -> None:
    client, audio = opened(), header + bytes(2 * SECOND)
    for at in range(0, 200, piece):
        client.add(audio[at : min(at + piece, 200)])
    client.add(audio[200:])
    sent(client)
    receive(client, Ack(SECOND, SECOND, SECOND, 1.0, 0.0))

    with pytest.raises(ServiceError, match=r"^not_resumable: expected the session that received .* RIFF"):
        again(client, SECOND, resumed=False)


@pytest.mark.parametrize(
    "header",
    [wav(), wav(extensible=True), wav(before=b"JUNK" + pack("<I", 3) + bytes(4)), bytes(44), b"RIFL" * 11],
    ids=["plain", "extensible", "chunk before", "none", "other"],
)
def test_a_header_that_agrees_with_start_may_be_missed(header: bytes) -> None:
    client = opened()
    client.add(header + bytes(2 * SECOND))
    sent(client)
    receive(client, Ack(SECOND, SECOND, SECOND, 1.0, 0.0))
    again(client, SECOND, resumed=False)

    assert sum(n for n in sent(client) if isinstance(n, int)) == SECOND + len(header)


def test_a_header_that_differs_is_sent_again_where_all_is_still_here_or_the_session_is() -> None:
    client = opened()
    client.add(wav(8_000) + bytes(2 * SECOND))
    sent(client)
    again(client, 0, resumed=False)
    sent(client)
    receive(client, Ack(SECOND, SECOND, SECOND, 1.0, 0.0))
    again(client, SECOND)

    assert sum(n for n in sent(client) if isinstance(n, int)) == SECOND + 44


def test_a_connection_advances_by_finals_and_by_audio_that_was_not_processed_before() -> None:
    client = opened()
    client.add(bytes(10 * SECOND))
    sent(client)
    receive(client, Ack(2 * SECOND, SECOND, SECOND, 2.0, 0.0))
    advanced = [client.advanced]
    for messages in (
        [],
        [Ack(2 * SECOND, SECOND, SECOND, 1.5, 0.0), SpeechStart(0, 1.0), Partial(0, 1.0, 1.5, "", " one")],
        [Ack(2 * SECOND, SECOND, SECOND, 2.0, 0.0), Finalized()],
        [Ack(2 * SECOND, SECOND, SECOND, 2.1, 0.0)],
        [Final(0, 1.0, 1.5, "one")],
        [Final(0, 1.0, 1.5, "one")],  # it came before
        [Ack(2 * SECOND, SECOND + SECOND // 2 + 2, SECOND, 1.5, 0.0)],
    ):
        again(client, 2 * SECOND, resumed=False)
        receive(client, *messages)
        advanced.append(client.advanced)

    assert advanced == [True, False, False, False, True, True, False, True]


def test_done_may_come_before_a_stop_is_sent_again() -> None:
    client = opened()
    client.add(bytes(10))
    client.finalize()
    client.stop()
    sent(client)
    again(client, 10)

    assert receive(client, Done(0.1, 0)) == [Finalized(), Done(0.1, 0)]
    assert client.closed(Close.NORMAL) is None


def test_an_end_that_was_not_asked_for_is_an_error() -> None:
    client = opened()
    receive(client, Done(3.0, 1), Error("behind", "expected a client in real time."))

    assert client.state is ConversationState.DONE
    with pytest.raises(ServiceError, match="expected a client in real time"):
        client.closed(Close.FULL)


@pytest.mark.parametrize("received", [SECOND // 2, 3 * SECOND])
def test_a_server_that_asks_for_what_is_gone_is_an_error(received: int) -> None:
    client = opened()
    client.add(bytes(2 * SECOND))
    sent(client)
    receive(client, Ack(2 * SECOND, SECOND, SECOND, 1.0, 0.0))

    with pytest.raises(WireError, match="expected received_bytes from 32000 to 64000"):
        again(client, received)


def test_anything_before_ready_is_an_error() -> None:
    client = Conversation(Start())
    client.opened()

    with pytest.raises(WireError, match="expected ready first"):
        receive(client, Finalized())
