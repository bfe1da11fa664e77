import pytest
from tests.small_model import SMALL_MODEL_INT8

from voxray.whisper.prompts import echoes, previous_tokens
from voxray.whisper.tokens import Tokens

TOKENS = Tokens.load(SMALL_MODEL_INT8)


@pytest.mark.parametrize(
    ("hotwords", "text", "echo"),
    [
        ("Kubernetes, Ceph", " Kubernetes, Ceph,", True),
        ("Kubernetes, Ceph", " kubernetes!", True),
        ("Kubernetes, Ceph", " Deploy it on Kubernetes.", False),
        ("Kubernetes, Ceph", " you", False),
        ("今天", " 今天", True),
        ("北京, 天津", " 北京天津", True),
        ("北京, 天津", "天津。北京!", True),
        ("北京, 天津", " 我去北京", False),
        ("東京タワー, 浅草", "浅草東京タワー", True),
        ("กรุงเทพ, เชียงใหม่", "กรุงเทพเชียงใหม่", True),
        ("กรุงเทพ, เชียงใหม่", "ไปกรุงเทพ", False),
        ("ရန်ကုန်, မန္တလေး", "ရန်ကုန်မန္တလေး", True),
        ("서울, 부산", "서울 부산", True),
        ("Kubernetes", "", False),
        ("Kubernetes", " ...", False),
        ("", " Kubernetes", False),
    ],
)
def test_an_echo_has_no_words_but_those_of_the_context(hotwords: str, text: str, echo: bool) -> None:
    previous = previous_tokens(TOKENS, "", hotwords)

    assert echoes(TOKENS, previous, TOKENS.encode(text)) is echo
