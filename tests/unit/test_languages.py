import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES
from pydantic import BaseModel, ValidationError

from voxray.errors import ConfigError
from voxray.languages import NAMES, KnownLanguage, Language, language_of, name_of
from voxray.transcribe import UNDETERMINED


def test_every_language_of_whisper_has_a_name() -> None:
    assert set(NAMES) == {*_LANGUAGE_CODES, UNDETERMINED}
    assert name_of("tlh") == "tlh"


@pytest.mark.parametrize("code", sorted({*NAMES} - {UNDETERMINED}))
def test_every_language_may_be_asked_for_by_code_and_by_name(code: str) -> None:
    name = name_of(code)
    codes = (code, code.upper(), f"{code}-XX", f" {code}_Latn_XX.UTF-8", f"<|{code}|>")

    assert {language_of(form) for form in (*codes, name, f"{name.title()} (X)")} == {code}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("eng", "en"),
        ("DEU", "de"),
        ("ger", "de"),
        ("cmn_hans_cn", "zh"),
        ("zh-Hant-TW", "zh"),
        ("zh-yue-HK", "yue"),
        ("yue_hant_hk", "yue"),
        ("es-419", "es"),
        ("es-PER", "es"),  # Peru, not Persian
        ("sv-SE", "sv"),
        ("nb-NO", "no"),
        ("fil_ph", "tl"),
        ("iw", "he"),
        ("jv", "jw"),
        ("Mandarin", "zh"),
        ("Mandarin Chinese", "zh"),
        ("Chinese (Simplified)", "zh"),
        ("Chinese (Cantonese, Traditional)", "yue"),
        ("Norwegian Nynorsk", "nn"),
        ("Norwegian Bokmål", "no"),
        ("haitian_creole", "ht"),
        ("Farsi", "fa"),
        ("Burmese", "my"),
        ("Brazilian Portuguese", "pt"),
        ("English_India", "en"),
    ],
)
def test_codes_tags_and_names_of_other_lists_are_known(text: str, code: str) -> None:
    assert language_of(text) == code


@pytest.mark.parametrize("text", ["", " ", "\n", "auto", "AUTO", " Auto "])
def test_auto_and_a_blank_ask_for_detection(text: str) -> None:
    assert language_of(text) is None


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("Germn", "de or German"),
        ("engilsh", "en or English"),
        ("Portugese", "pt or Portuguese"),
        ("xx", "en or English"),
        ("-", "en or English"),
        ("und", "en or English"),
        ("e n", "en or English"),
        ("English and Hindi", "en or English"),
        ("it is unknown", "en or English"),
    ],
)
def test_an_unknown_language_is_an_error_that_names_the_nearest(text: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"^expected a language by .* such as {nearest}$"):
        language_of(text)


def test_a_name_of_a_megabyte_is_refused_at_once() -> None:
    with pytest.raises(ConfigError):
        language_of("x-" * 500_000)


def test_a_field_holds_the_code_and_says_where_a_language_is_needed() -> None:
    class Form(BaseModel):
        spoken: Language = None
        written: KnownLanguage = "en"

    assert Form(spoken="Chinese", written="PT-br") == Form(spoken="zh", written="pt")
    assert Form(spoken="auto").spoken is None
    with pytest.raises(ValidationError, match="expected one language by its code or English name"):
        Form(written="auto")
