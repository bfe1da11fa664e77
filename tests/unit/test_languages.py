import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES

from voxray.errors import ConfigError
from voxray.languages import NAMES, code_of, language_of, name_of
from voxray.transcribe import UNDETERMINED


def test_every_language_of_whisper_has_a_name() -> None:
    assert set(NAMES) == {*_LANGUAGE_CODES, UNDETERMINED}
    assert all(code_of(name_of(code)) == code for code in NAMES)
    assert name_of("tlh") == "tlh"


@pytest.mark.parametrize("code", sorted({*NAMES} - {UNDETERMINED}))
def test_every_language_may_be_asked_for_by_code_and_by_name(code: str) -> None:
    assert {language_of(t) for t in (code, code.upper(), f"{code}-XX", name_of(code))} == {code}


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_a_blank_asks_for_none(text: str) -> None:
    assert language_of(text) is None


@pytest.mark.parametrize("text", ["xx", "Klingon", "-", "und", "undetermined", "e n"])
def test_what_whisper_does_not_have_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="such as en or English"):
        language_of(text)
