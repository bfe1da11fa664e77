import pytest

from voxray.training.trainer import described


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"step": 5, "wer": 3.204}, "step      5 of 10  dev WER 3.20 %"),
        (
            {"step": 10, "loss": 1.5, "ce": 1.0, "kl": 0.5, "samples_per_s": 20.04},
            "step     10 of 10  loss 1.500  ce 1.000  kl 0.500  20.0 clips/s",
        ),
    ],
)
def test_progress_is_told_in_a_line(values: dict[str, float], line: str) -> None:
    assert described(values, 10) == line
