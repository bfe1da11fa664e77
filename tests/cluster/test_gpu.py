"""Jobs on a CUDA device: labels by a worker that has one, students trained on it, models adapted on it."""

from pathlib import Path

import pytest
import torch
from tests.gpu.tiny import NEEDS_TINY

from voxray.recipes import adapt, distil, pseudo_label
from voxray.recipes.adapt import AdaptConfig
from voxray.recipes.distil import DistilConfig
from voxray.recipes.pseudo_label import PseudoLabelConfig

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.ray,
    pytest.mark.usefixtures("ray"),
    pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated"),  # of Ray's options, by Ray's own trainer
    NEEDS_TINY,
]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labels of the sample clips by `tiny.en`."""
    out = tmp_path_factory.mktemp("labels")
    result = pseudo_label.run(PseudoLabelConfig(corpus="builtin", out=out))
    assert result["clips"] > 0
    assert result["wer"] < 8
    return out


def test_a_student_is_trained_on_the_gpu_and_goes_on_from_a_checkpoint(labels: Path, tmp_path: Path) -> None:
    options = {"labelled": [labels], "decoder_layers": 2, "learning_rate": 3e-4, "evaluate_every": 20}
    result = distil.run(DistilConfig.model_validate({**options, "out": tmp_path, "max_steps": 40}))

    assert result["steps"] == 40
    [*_, newest] = sorted((tmp_path / "train").rglob("state.pt"))
    state = torch.load(newest, weights_only=True)
    moments = [s["exp_avg"] for s in state["loop"]["optimiser"]["state"].values()]
    assert moments
    assert all(m.is_cuda for m in moments)


def test_a_model_is_adapted_on_the_gpu(tmp_path: Path) -> None:
    result = adapt.run(
        AdaptConfig(model="tiny.en@stock", corpus=("builtin",), out=tmp_path, max_minutes=0.5, epochs=2.0)
    )
    before, after = result["before"], result["after"]
    assert after[0]["wer"] < before[0]["wer"]
