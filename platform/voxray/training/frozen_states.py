"""What no step of distillation changes, kept on disk for the epochs that repeat a batch.

    folder/KEY.safetensors    encoder (B, T, D) of a frozen encoder, teacher (B, L, D), expected (K,) of the
                              teacher's tokens; any may be missing

The states are rounded to float16 when they are computed, too: a run that reads them has the losses of the
run that wrote them, bit for bit.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from voxray.errors import TrainingError
from voxray.files import atomic_file


@dataclass(frozen=True, slots=True)
class FrozenStates:
    """Encoder states (B, T, D) and the teacher's last decoder states (B, L, D); None where there are none.

    `expected_K` are the tokens that the teacher has for probable at any of the positions.
    """

    encoder_BTD: torch.Tensor | None
    teacher_BLD: torch.Tensor | None
    expected_K: torch.Tensor | None = None


class FrozenStatesCache:
    """The states of batches in one folder, by `Batch.key`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str, device: torch.device) -> FrozenStates | None:
        """Return the states of batch `key` in float32 on `device`; None if they are not kept yet."""
        file = self._file(key)
        if not file.exists():
            return None
        try:
            kept = load_file(file)
        except (OSError, SafetensorError) as e:
            raise TrainingError(f"{file}: expected states of a batch, got {e}; delete it.") from e
        encoder, teacher = (
            states.to(device, torch.float32) if (states := kept.get(name)) is not None else None
            for name in ("encoder", "teacher")
        )
        expected = kept.get("expected")
        return FrozenStates(encoder, teacher, None if expected is None else expected.to(device))

    def put(self, key: str, states: FrozenStates) -> FrozenStates:
        """Keep the states of batch `key`, and return what `get` will.

        Raises TrainingError where they cannot be written.
        """
        named = {"encoder": states.encoder_BTD, "teacher": states.teacher_BLD}
        halves = {name: states.half() for name, states in named.items() if states is not None}
        tensors = halves if states.expected_K is None else {**halves, "expected": states.expected_K}
        try:
            with atomic_file(self._file(key)) as part:
                part.write_bytes(save({name: t.cpu().contiguous() for name, t in tensors.items()}))
        except OSError as e:
            raise TrainingError(
                f"{self.folder}: the teacher's states cannot be kept: {e.strerror}; make room, or train "
                "with teacher_cache=0."
            ) from e
        rounded = {name: half.float() for name, half in halves.items()}
        return FrozenStates(rounded.get("encoder"), rounded.get("teacher"), states.expected_K)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"
