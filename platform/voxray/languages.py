"""Codes and names of Whisper's languages: clients give either, and OpenAI's responses have names."""

from voxray.errors import ConfigError

_TABLE = """
    af=afrikaans am=amharic ar=arabic as=assamese az=azerbaijani ba=bashkir be=belarusian bg=bulgarian
    bn=bengali bo=tibetan br=breton bs=bosnian ca=catalan cs=czech cy=welsh da=danish de=german
    el=greek en=english es=spanish et=estonian eu=basque fa=persian fi=finnish fo=faroese fr=french
    gl=galician gu=gujarati ha=hausa haw=hawaiian he=hebrew hi=hindi hr=croatian ht=haitian_creole
    hu=hungarian hy=armenian id=indonesian is=icelandic it=italian ja=japanese jw=javanese ka=georgian
    kk=kazakh km=khmer kn=kannada ko=korean la=latin lb=luxembourgish ln=lingala lo=lao lt=lithuanian
    lv=latvian mg=malagasy mi=maori mk=macedonian ml=malayalam mn=mongolian mr=marathi ms=malay
    mt=maltese my=myanmar ne=nepali nl=dutch nn=nynorsk no=norwegian oc=occitan pa=punjabi pl=polish
    ps=pashto pt=portuguese ro=romanian ru=russian sa=sanskrit sd=sindhi si=sinhala sk=slovak
    sl=slovenian sn=shona so=somali sq=albanian sr=serbian su=sundanese sv=swedish sw=swahili ta=tamil
    te=telugu tg=tajik th=thai tk=turkmen tl=tagalog tr=turkish tt=tatar uk=ukrainian ur=urdu uz=uzbek
    vi=vietnamese yi=yiddish yo=yoruba yue=cantonese zh=chinese
    und=undetermined
"""

NAMES = {code: name.replace("_", " ") for code, name in (pair.split("=") for pair in _TABLE.split())}
"""Codes (ISO 639, as Whisper has them) to English names in lower case; `und`: no speech."""

_SPOKEN = NAMES.keys() - {"und"}
_CODES = {name: code for code, name in NAMES.items()}


def code_of(text: str) -> str:
    """Return the code of a language given as `en`, `EN`, `en-GB` or `English`; other text in lower case."""
    plain = text.strip().lower().replace("_", "-")
    if plain in _CODES:
        return _CODES[plain]
    return plain.partition("-")[0] or plain


def language_of(text: str) -> str | None:
    """Return the code of the language that `text` names; None, to detect it, where it is blank.

    ConfigError where Whisper has no such language.
    """
    if not text.strip():
        return None
    code = code_of(text)
    if code not in _SPOKEN:
        raise ConfigError("expected a language of Whisper by its code or English name, such as en or English")
    return code


def name_of(code: str) -> str:
    """Return the name of a language, `english` for `en`; a code that is not known is its own name."""
    return NAMES.get(code, code)
