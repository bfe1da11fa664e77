"""Codes and names of Whisper's languages: one function reads what people write, wherever they write it."""

import re
from difflib import get_close_matches
from typing import Annotated

from pydantic import BeforeValidator

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

_ALIASES = """
    af=afr am=amh ar=ara,arb as=asm az=aze,azj,azeri ba=bak be=bel bg=bul bn=ben,bangla bo=bod,tib br=bre
    bs=bos ca=cat,valencian cs=ces,cze cy=cym,wel da=dan de=deu,ger el=ell,gre en=eng es=spa,castilian
    et=est,ekk eu=eus,baq fa=fas,per,pes,prs,farsi,dari fi=fin fo=fao fr=fra,fre gl=glg gu=guj ha=hau
    he=heb,iw hi=hin hr=hrv ht=hat,haitian hu=hun hy=hye,arm id=ind,in is=isl,ice it=ita ja=jpn jw=jv,jav
    ka=kat,geo kk=kaz km=khm kn=kan ko=kor la=lat lb=ltz,letzeburgesch ln=lin lo=lao lt=lit lv=lav,lvs
    mg=mlg mi=mri,mao mk=mkd,mac ml=mal mn=mon,khk mr=mar ms=msa,may,zsm mt=mlt my=mya,bur,burmese
    ne=nep,npi nl=nld,dut,flemish nn=nno no=nor,nb,nob oc=oci pa=pan,panjabi pl=pol ps=pus,pbt,pushto pt=por
    ro=ron,rum,mo,mol,moldavian,moldovan ru=rus sa=san sd=snd si=sin,sinhalese sk=slk,slo sl=slv,slovene
    sn=sna so=som sq=sqi,alb,als sr=srp su=sun sv=swe sw=swa,swh,kiswahili ta=tam te=tel tg=tgk th=tha
    tk=tuk tl=tgl,fil,filipino tr=tur tt=tat uk=ukr ur=urd uz=uzb,uzn vi=vie yi=yid,ji yo=yor yue=zh-yue
    zh=zho,chi,cmn,mandarin
"""  # ISO 639-2 and 639-3, older codes, and further names; part of them are those of OpenAI's tokenizer.py

NAMES = {code: name.replace("_", " ") for code, name in (pair.split("=") for pair in _TABLE.split())}
"""Codes (ISO 639, as Whisper has them) to English names in lower case; `und`: no speech."""

MAX_NAME = 60  # characters; what is longer names no language
_DETECTED = frozenset({"", "auto", "automatic", "detect"})
_SPOKEN = NAMES.keys() - {"und"}
_BY_NAME = {NAMES[code]: code for code in _SPOKEN}
_BY_ALIAS = {a: code for code, names in (p.split("=") for p in _ALIASES.split()) for a in names.split(",")}
_CODES = {code: code for code in _SPOKEN} | _BY_NAME | _BY_ALIAS
_NAMED = _BY_NAME | {alias: code for alias, code in _BY_ALIAS.items() if alias.isalpha() and len(alias) > 3}
_WIDER = {"nn": "no", "yue": "zh"}  # languages that are also named with a wider one: Norwegian Nynorsk


def language_of(text: str) -> str | None:
    """Return the code of the language that `text` names; None, to detect it, where it is `auto` or blank.

    A language is named by its code (ISO 639-1, 639-2 or 639-3), a BCP 47 tag or a locale that begins with one
    (`en-GB`, `pt_BR.UTF-8`), Whisper's token, or an English name, alone or with a country or script beside it
    (`Chinese (Simplified)`); case does not matter. ConfigError, which names the nearest that there is, where
    Whisper has no such language.
    """
    plain = text.strip()[:MAX_NAME].removeprefix("<|").removesuffix("|>").casefold()
    if plain in _DETECTED:
        return None
    if code := _CODES.get(plain) or _code_of_tag(plain) or _code_of_words(plain):
        return code
    near = next(iter(get_close_matches(plain, _NAMED, n=1)), "en")
    raise ConfigError(
        "expected a language by its code or English name, or auto to detect it, "
        f"such as {_CODES[near]} or {name_of(_CODES[near]).title()}"
    )


def _code_of_tag(tag: str) -> str | None:
    """Look up a tag, each time without its last part, as RFC 4647 (section 3.4) has it."""
    tag = re.sub("[_.@]", "-", tag)
    while tag and tag not in _CODES:
        tag = tag.rpartition("-")[0]
    return _CODES.get(tag)


def _code_of_words(name: str) -> str | None:
    """Return the one language that is named among the words of `name`."""
    found = {_NAMED[word] for word in re.split(r"[\W_]+", name) if word in _NAMED}
    found -= {_WIDER[code] for code in found & _WIDER.keys()}
    return found.pop() if len(found) == 1 else None


def name_of(code: str) -> str:
    """Return the name of a language, `english` for `en`; a code that is not known is its own name."""
    return NAMES.get(code, code)


def _parsed(value: object) -> object:
    return language_of(value) if isinstance(value, str) else value


def _parsed_known(value: object) -> object:
    if (code := _parsed(value)) is None:
        raise ConfigError("expected one language by its code or English name, such as en or English")
    return code


Language = Annotated[str | None, BeforeValidator(_parsed)]
"""A field that is given as `language_of` reads it and holds a code, or None to detect the language."""

KnownLanguage = Annotated[str, BeforeValidator(_parsed_known)]
"""The same where the language cannot be detected."""
