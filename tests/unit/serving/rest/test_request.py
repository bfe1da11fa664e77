import pytest

from voxray.serving.api_error import ApiError
from voxray.serving.rest.request import WHISPER_1, TranscriptionRequest, parse_request

LANGUAGES = ("en", "de", "zh", "es", "ru", "ko")


def parsed(**fields: str | list[str]) -> TranscriptionRequest:
    lists = {name: value if isinstance(value, list) else [value] for name, value in fields.items()}
    return parse_request(lists, TranscriptionRequest, ("mine", WHISPER_1), LANGUAGES)


def error_of(**fields: str | list[str]) -> ApiError:
    with pytest.raises(ApiError) as raised:
        parsed(**fields)
    return raised.value


def test_an_empty_form_is_json_of_the_default_model() -> None:
    assert parsed() == TranscriptionRequest()
    assert (
        parsed(model="", language="", response_format="", stream="", temperature="") == TranscriptionRequest()
    )


@pytest.mark.parametrize("text", ["de", "DE", "de-AT", "de_AT", "deu", "German", " german "])
def test_a_language_is_given_by_code_or_by_name(text: str) -> None:
    assert parsed(language=text).language == "de"


@pytest.mark.parametrize("text", ["auto", " AUTO "])
def test_a_language_of_auto_is_detected(text: str) -> None:
    assert parsed(language=text).language is None


def test_an_unknown_language_is_answered_with_the_nearest() -> None:
    with pytest.raises(ApiError, match=r"such as de or German, got 'Germn'\."):
        parsed(language="Germn")


def test_granularities_come_with_and_without_brackets() -> None:
    form = "verbose_json"
    both = parsed(response_format=form, **{"timestamp_granularities[]": ["word", "segment"]})
    word = parsed(response_format=form, timestamp_granularities="word")

    assert (both.words, both.segments) == (True, True)
    assert (word.words, word.segments) == (True, False)
    assert parsed(response_format=form).segments


def test_fields_of_openai_without_meaning_here_change_nothing() -> None:
    fields: dict[str, str | list[str]] = {
        "include[]": ["logprobs"],
        "chunking_strategy": "auto",
        "chunking_strategy[type]": "server_vad",
        "languages[]": ["en", "de"],
    }

    assert parsed(**fields) == TranscriptionRequest()


@pytest.mark.parametrize(
    ("fields", "param", "status"),
    [
        ({"model": "other"}, "model", 404),
        ({"model": ["mine", "mine"]}, "model", 400),
        ({"language": "fr"}, "language", 400),
        ({"language": "-"}, "language", 400),
        ({"response_format": "xml"}, "response_format", 400),
        ({"temperature": "warm"}, "temperature", 400),
        ({"temperature": "nan"}, "temperature", 400),
        ({"temperature": "-0.1"}, "temperature", 400),
        ({"stream": "perhaps"}, "stream", 400),
        ({"stream": "true", "response_format": "srt"}, "response_format", 400),
        ({"timestamp_granularities[]": ["word"]}, "response_format", 400),
        ({"timestamp_granularities[]": ["phoneme"]}, "timestamp_granularities", 400),
        ({"prompt": "x" * 2_001}, "prompt", 400),
        ({"beams": "5"}, "beams", 400),
        ({"language[]": "de"}, "language[]", 400),
        ({"file": "text"}, "file", 400),
        ({"x" * 10_000: "1"}, "x" * 60, 400),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, str | list[str]], param: str, status: int) -> None:
    error = error_of(**fields)

    assert (error.param, error.status) == (param, status)
    assert "expected" in error.message
    assert len(error.message) < 400
