import pytest

from voxray.serving.api_error import ApiError
from voxray.serving.rest.request import TranscriptionRequest, check_language, parse_request

LANGUAGES = ("en", "de", "zh", "es", "ru", "ko")


def parsed(**fields: str | list[str]) -> TranscriptionRequest:
    lists = {name: value if isinstance(value, list) else [value] for name, value in fields.items()}
    request = parse_request(lists, TranscriptionRequest)
    check_language(request, LANGUAGES)
    return request


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


def test_an_unknown_language_is_answered_with_the_nearest() -> None:
    with pytest.raises(ApiError, match=r"such as de or German, got 'Germn'\."):
        parsed(language="Germn")


def test_granularities_come_with_and_without_brackets() -> None:
    form = "verbose_json"
    both = parsed(response_format=form, **{"timestamp_granularities[]": ["word", "segment"]})
    word = parsed(response_format=form, timestamp_granularities="word")
    joined = parsed(response_format=form, timestamp_granularities="word, segment")

    assert (joined.words, joined.segments) == (True, True)
    assert (both.words, both.segments) == (True, True)
    assert (word.words, word.segments) == (True, False)
    assert parsed(response_format=form).segments


HARMLESS: list[dict[str, str | list[str]]] = [
    {"include[]": ["logprobs"], "chunking_strategy": "auto", "languages[]": ["en", "de"]},  # OpenAI
    {"chunking_strategy[type]": "server_vad", "chunking_strategy[threshold]": "0.4"},
    {"user": "someone", "metadata[trace]": "7", "seed": "1"},  # LiteLLM
    {"vad_filter": "true", "without_timestamps": "false", "beam_size": "5"},  # speaches
    {"temperature_inc": "0.2", "no_context": "true"},  # whisper.cpp
    {"top_p": "0.9", "repetition_penalty": "1.1", "max_completion_tokens": "99"},  # vLLM
    {"service_tier": "auto", "store": "false"},  # OpenAI
    {"hallucination_silence_threshold": "2", "max_initial_timestamp": "1.0", "chunk_length": "30"},
    {"language_detection_threshold": "0.5", "language_detection_segments": "1", "log_progress": "false"},
    {"prepend_punctuations": "'", "append_punctuations": "'.", "clip_timestamps": "0"},  # faster-whisper
    {"audio_ctx": "0", "word_thold": "0.01", "no_speech_thold": "0.6", "max_context": "-1", "vad": "true"},
    {"split_on_word": "false", "no_timestamps": "false", "detect_language": "false", "vad_model": "silero"},
    {"stream_include_usage": "true", "stream_continuous_usage_stats": "false"},  # vLLM
    {"diarize": "false", "translate": "0", "word_timestamps": "False", "task": "transcribe"},
]


@pytest.mark.parametrize("fields", HARMLESS, ids=lambda fields: ",".join(fields))
def test_harmless_fields_of_other_clients_change_nothing(fields: dict[str, str | list[str]]) -> None:
    assert parsed(**fields) == TranscriptionRequest()


def test_of_a_long_prompt_the_end_counts() -> None:
    assert parsed(prompt="x" * 5_000 + " Whisper.").prompt == "x" * 1_991 + " Whisper."


@pytest.mark.parametrize("text", ["auto", "AUTO", " Auto ", ""])
def test_a_language_of_auto_is_detected(text: str) -> None:
    assert parsed(language=text).language is None


def test_one_expected_language_is_the_language_and_of_several_it_is_detected() -> None:
    assert parsed(**{"languages[]": ["German"]}).language == "de"
    assert parsed(languages="zh").language == "zh"
    assert parsed(**{"languages[]": ["en", "de"]}).language is None
    assert parsed(language="es", **{"languages[]": ["de"]}).language == "es"


@pytest.mark.parametrize(
    "fields",
    [
        {"hotwords": "Voxray, LoRA"},
        {"hotwords": ["Voxray", " LoRA "]},
        {"hotwords[]": ["Voxray", "LoRA"]},
        {"keywords[]": ["Voxray", "LoRA"]},
        {"keywords[]": ["Voxray"], "hotwords": "LoRA"},
    ],
    ids=str,
)
def test_hotwords_come_as_one_text_or_as_a_list(fields: dict[str, str | list[str]]) -> None:
    assert set(parsed(**fields).hotwords.split(", ")) == {"Voxray", "LoRA"}


@pytest.mark.parametrize(
    ("field", "value", "form"),
    [
        ("url", "https://example.org/talk.mp3", "as file"),
        ("task", "translate", "transcriptions or translations"),
        ("word_timestamps", "true", "timestamp_granularities[]=word"),
        ("output", "srt", "response_format"),
        ("diarize", "true", "multichannel=true"),
        ("known_speaker_names[]", "Ann", "multichannel=true"),
        ("initial_prompt", "Weather.", "prompt"),
        ("offset_t", "5000", "that part of the recording alone, as file"),
        ("duration", "5000", "that part of the recording alone, as file"),
        ("clip_timestamps", "3,8", "that part of the recording alone, as file"),
        ("to_language", "en", "translations"),
    ],
)
def test_a_field_that_asks_for_another_result_names_the_form_to_send(
    field: str, value: str, form: str
) -> None:
    error = error_of(**{field: value})

    assert (error.status, error.param, error.code) == (400, field, "unknown_parameter")
    assert form in error.message


def test_words_alone_are_given_wherever_there_is_a_place_for_them() -> None:
    words: dict[str, str | list[str]] = {"timestamp_granularities[]": ["word"]}

    assert parsed(**words).words
    assert parsed(**words, stream="true").words
    assert parsed(**words, response_format="verbose_json", stream="true").stream
    for form in ("text", "srt", "vtt"):
        assert "expected json or verbose_json with" in error_of(**words, response_format=form).message


@pytest.mark.parametrize(
    ("fields", "param", "status"),
    [
        ({"model": ["mine", "mine"]}, "model", 400),
        ({"language": "fr"}, "language", 400),
        ({"language": "-"}, "language", 400),
        ({"response_format": "xml"}, "response_format", 400),
        ({"temperature": "warm"}, "temperature", 400),
        ({"temperature": "nan"}, "temperature", 400),
        ({"temperature": "-0.1"}, "temperature", 400),
        ({"stream": "perhaps"}, "stream", 400),
        ({"stream": "true", "response_format": "srt"}, "response_format", 400),
        ({"stream": "true", "multichannel": "true"}, "stream", 400),
        ({"track": "0"}, "track", 400),
        ({"hotwords": "x" * 2_001}, "hotwords", 400),
        ({"timestamp_granularities[]": ["phoneme"]}, "timestamp_granularities", 400),
        ({"prompt": ["x", "y"]}, "prompt", 400),
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
