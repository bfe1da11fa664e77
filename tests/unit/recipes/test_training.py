"""What clients may ask of a training, and audio that lasts longer than its bytes say."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.service.bombs import silent_flac

from voxray.audio import SAMPLE_RATE, encode
from voxray.config import Config
from voxray.errors import ConfigError, CorpusError
from voxray.recipes.adapt import AdaptConfig
from voxray.recipes.distil import DistilConfig
from voxray.recipes.finetune import FinetuneConfig
from voxray.recipes.training import CONFIGS, RESERVED, check, check_audio, config_of
from voxray.serving.settings import TrainingSettings
from voxray.serving.trainings.states import Kind, TrainingRequest
from voxray.serving.trainings.store import TrainingFolder

SETTINGS = TrainingSettings(cpus=3.5)
FREE_TEXTS = {"id_column", "audio_column", "text_column", "language"}  # neither places nor models


def request(kind: Kind = "finetune", keys: Mapping[str, str] | None = None) -> TrainingRequest:
    return TrainingRequest(id="t", owner="", created_at=0.0, kind=kind, model="tiny.en", keys=keys or {})


def test_the_service_sets_places_models_and_threads(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)

    finetune = config_of(request(), SETTINGS, folder)
    adapt = config_of(request("adapt", {"epochs": "2"}), SETTINGS, folder)
    distil = config_of(request("distil", {"wer_threshold": "null"}), SETTINGS, folder)

    assert isinstance(finetune, FinetuneConfig)
    assert (finetune.model, finetune.corpus, finetune.out) == (
        "tiny.en",
        str(folder.data),
        folder.out,
    )
    assert finetune.threads == 3
    assert isinstance(adapt, AdaptConfig)
    assert (adapt.corpus, adapt.epochs) == ((str(folder.data),), 2.0)
    assert isinstance(distil, DistilConfig)
    assert (distil.teacher, distil.labelled) == ("tiny.en", (tmp_path / "labels",))
    assert distil.wer_threshold is None


def test_nested_keys_keep_the_defaults_beside_them(tmp_path: Path) -> None:
    keys = {"plan.batch_s": "8", "lora.rank": "4", "train": "lora"}
    config = config_of(request(keys=keys), SETTINGS, TrainingFolder(tmp_path))

    assert isinstance(config, FinetuneConfig)
    assert (config.plan.batch_s, config.plan.seed) == (8.0, FinetuneConfig.model_fields["plan"].default.seed)
    assert config.lora.rank == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"max_step": "2"}, "training: unknown key 'max_step'; did you mean 'max_steps'?"),
        (
            {"max_steps": "0"},
            "training: 'max_steps': input should be greater than or equal to 1, got '0'.",
        ),
        ({"plan.batches": "1"}, "training: unknown key 'plan.batches'; "),
        ({"plan": "1", "plan.batch_s": "2"}, "'plan.batch_s': expected a value or a group, got both."),
        ({"labels": "{"}, "'labels': expected JSON, got text that does not parse "),
        ({"threads": "99"}, "'threads': expected a key that clients may set, got one that the service sets."),
        ({"out": "/etc"}, "'out': expected a key that clients may set, got one that the service sets."),
    ],
)
def test_a_key_that_the_job_would_not_take_is_an_error_in_its_own_words(
    keys: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        check(request(keys=keys), SETTINGS)

    assert str(error.value).startswith(message)


@pytest.mark.parametrize("config", CONFIGS.values())
def test_no_key_that_clients_may_set_can_name_a_file_or_a_model(config: type[Config]) -> None:
    open_keys = {k: f for k, f in config.model_fields.items() if k not in RESERVED | FREE_TEXTS}
    names = {
        k for k, f in open_keys.items() if "Path" in str(f.annotation) or f.annotation in (str, str | None)
    }

    assert not names


def test_audio_is_decoded_no_further_than_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(silent_flac(100_000.0))
    (tmp_path / "text.flac").write_text("not audio")

    with pytest.raises(CorpusError, match=r"data: expected at most 60 s of audio, got more with 'a\.flac'"):
        check_audio(tmp_path, 60.0)


def test_audio_within_the_limit_is_counted(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.flac", "sub/b.flac"):
        (tmp_path / name).write_bytes(encode(np.zeros(SAMPLE_RATE, dtype=np.int16)))

    assert check_audio(tmp_path, 60.0) == pytest.approx(2.0, abs=0.1)
