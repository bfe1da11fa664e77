"""What a client may not say, and how it is told."""

import json

import pytest

from voxray.errors import WireError
from voxray.wire import (
    MAX_BYTE,
    MAX_SEGMENT,
    MAX_SHOWN,
    Ack,
    EndpointRange,
    Final,
    Finalized,
    Partial,
    SpeechEnd,
    SpeechStart,
    Start,
    parse_client,
    parse_server,
    render,
)


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "p" * 1_000_000},
        {"k" * 1_000_000: 1},
        {"encoding": ["a"] * 100_000},
        {"from_byte": 10**4_000},
    ],
    ids=["value", "key", "list", "number"],
)
def test_errors_about_a_start_are_short(values: dict[str, object]) -> None:
    with pytest.raises(WireError, match=r"^expected a start message; start: .*\.\.\.$") as caught:
        parse_client(json.dumps({"type": "start", **values}))

    assert len(str(caught.value)) < MAX_SHOWN + 60


@pytest.mark.parametrize(("field", "most"), [("from_byte", MAX_BYTE), ("have_segment", MAX_SEGMENT)])
def test_no_session_begins_beyond_what_can_be_counted(field: str, most: int) -> None:
    assert getattr(parse_client(f'{{"type":"start","{field}":{most}}}'), field) == most

    with pytest.raises(WireError, match=f"'{field}': input should be less than or equal to {most}"):
        parse_client(f'{{"type":"start","{field}":{most + 1}}}')


@pytest.mark.parametrize(
    ("given", "bounds"), [(600, (600, 600)), ("700", (700, 700)), ({"min": 400, "max": 1000}, (400, 1000))]
)
def test_an_endpoint_is_a_number_or_a_range(given: object, bounds: tuple[int, int]) -> None:
    start = parse_client(json.dumps({"type": "start", "endpoint_ms": given}))

    assert isinstance(start, Start)
    assert start.endpoint_range == EndpointRange(min=bounds[0], max=bounds[1])
    assert parse_client(json.dumps({"type": "start", **start.model_dump(exclude_defaults=True)})) == start


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (299, "'endpoint_ms': input should be greater than or equal to 300, got 299"),
        ("soon", "'endpoint_ms': input should be a valid integer"),
        ({"min": 299, "max": 600}, r"'endpoint_ms\.min': input should be greater than or equal to 300"),
        ({"min": 700, "max": 600}, "'endpoint_ms': expected min to be at most max, got "),
        ({"min": 400}, r"'endpoint_ms\.max' is needed"),
        ({"min": 400, "max": 600, "most": 1}, r"unknown key 'endpoint_ms\.most'"),
    ],
)
def test_an_endpoint_that_cannot_be_is_named(given: object, error: str) -> None:
    with pytest.raises(WireError, match=error):
        parse_client(json.dumps({"type": "start", "endpoint_ms": given}))


@pytest.mark.parametrize("depth", [900, 960, 100_000])
def test_deep_nesting_is_an_error(depth: int) -> None:
    inner = "[" * depth + "]" * depth
    for text in (inner, f'{{"type":{inner}}}', f'{{"type":"start","task":{inner}}}'):
        with pytest.raises(WireError, match=r"^expected "):
            parse_client(text)


@pytest.mark.parametrize("channel", [None, 2])
def test_a_message_names_its_channel_where_it_has_one(channel: int | None) -> None:
    messages = (
        SpeechStart(0, 0.5, channel),
        Partial(0, 0.5, 1.0, "a", " b", channel),
        SpeechEnd(0, 1.0, channel),
        Final(0, 0.5, 1.0, "a b", "en", channel=channel),
        Finalized(channel),
        Ack(2, 2, 2, 0.5, 0.5, channel),
    )
    for message in messages:
        assert parse_server(render(message)) == message
        assert ("channel" in json.loads(render(message))) == (channel is not None)


def test_a_key_is_not_shown_where_a_start_is() -> None:
    assert "secret" not in repr(Start(api_key="secret", resume_token="secret"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [("de", "de"), ("German", "de"), ("EN", "en"), ("en-GB", "en"), ("", None), ("auto", None), (None, None)],
)
def test_a_language_is_kept_as_its_code(given: str | None, kept: str | None) -> None:
    start = parse_client(json.dumps({"type": "start", "language": given}))

    assert isinstance(start, Start)
    assert start.language == kept


@pytest.mark.parametrize("given", ["xx", "Klingon", "und", "l" * 1_000_000])
def test_an_unknown_language_is_named(given: str) -> None:
    with pytest.raises(WireError, match=r"'language': expected a language .* such as .*, got '") as caught:
        parse_client(json.dumps({"type": "start", "language": given}))

    assert len(str(caught.value)) < MAX_SHOWN + 60


@pytest.mark.parametrize(
    ("given", "kept"),
    [("Ray, Voxray", "Ray, Voxray"), (["Ray", " Voxray ", ""], "Ray, Voxray"), ([], ""), ("", "")],
)
def test_hotwords_are_a_text_or_a_list(given: str | list[str], kept: str) -> None:
    start = parse_client(json.dumps({"type": "start", "hotwords": given}))

    assert isinstance(start, Start)
    assert start.hotwords == kept


@pytest.mark.parametrize("given", [["a", 1], [["a"]], [None], {"a": 1}, ["a" * 1_001] * 2, ["ab"] * 100_000])
def test_hotwords_are_texts_and_bounded(given: object) -> None:
    with pytest.raises(WireError, match="'hotwords': ") as caught:
        parse_client(json.dumps({"type": "start", "hotwords": given}))

    assert len(str(caught.value)) < MAX_SHOWN + 60
