import pytest

from voxray.config import load
from voxray.errors import ConfigError
from voxray.serving.settings import Limits, ServiceArgs
from voxray.wire import MAX_FRAME_BYTES


def test_more_at_least_than_at_most_is_refused_in_a_sentence() -> None:
    with pytest.raises(
        ConfigError, match=r"'transcriber': expected min to be at most max, which is 1; set max too"
    ):
        load(ServiceArgs, None, ["transcriber.min=2"])
    with pytest.raises(ConfigError, match=r"'gateway': expected min to be at most max, which is 2"):
        load(ServiceArgs, None, ["gateway.min=3", "gateway.max=2"])


def test_one_key_of_a_group_leaves_the_others_at_their_defaults() -> None:
    args = load(ServiceArgs, None, ["gateway.max=3", "transcriber.max=2"])

    assert args.gateway.cpus == ServiceArgs().gateway.cpus == 0.5
    assert args.transcriber.queue_delay_s == ServiceArgs().transcriber.queue_delay_s


def test_a_client_may_send_the_frames_that_the_wire_allows() -> None:
    assert Limits().frame_bytes == MAX_FRAME_BYTES


@pytest.mark.parametrize(
    ("words", "short", "expected"),
    [
        ([], True, (1, 2)),
        ([], False, (2, 1)),
        (["decoding.threads=8"], True, (1, 8)),
        (["decoding.threads=8", "decoding.workers=2"], True, (4, 2)),
        (["decoding.threads=1", "decoding.workers=3"], False, (1, 3)),
    ],
)
def test_batches_share_the_threads(words: list[str], short: bool, expected: tuple[int, int]) -> None:
    decoding = load(ServiceArgs, None, words).decoding

    assert decoding.threads_and_workers(2.0, short_windows_on_cpu=short) == expected


def test_models_have_names_of_their_own() -> None:
    args = load(
        ServiceArgs, None, ["models={a: /models/a, large: large-v3-turbo}", "transcriber.loaded_models=1"]
    )

    assert args.models == {"a": "/models/a", "large": "large-v3-turbo"}
    for name in ("tiny.en", "whisper-1", "a b"):
        with pytest.raises(ConfigError, match=r"models: expected names .* other than tiny\.en and whisper-1"):
            load(ServiceArgs, {"models": {name: "/models/a"}})
