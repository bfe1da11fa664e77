"""A teacher's labels and decoder states of each window, computed once and kept on disk.

    folder/00000.safetensors, 00001.safetensors, ...    SHARD windows each, in the windows' order

A window's target is its label and, for each position of it, the teacher's last decoder state in float16.
The teacher's output projection makes its logits of that, so that none need be kept.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from voxray.audio import WINDOW_S, Pcm
from voxray.errors import TrainingError
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.decoding import on_host
from voxray.whisper.encoder import decode_states
from voxray.whisper.engines import DecodingOptions, DecodingResult
from voxray.whisper.labels import Label, no_speech_label
from voxray.whisper.tokens import MAX_LABEL_TOKENS, Tokens

SHARD = 32  # windows
BATCH = 8  # windows in a batch: 30 s of them take 50 MB each in an encoder layer of tiny
WHOLE = DecodingOptions(max_new_tokens=MAX_LABEL_TOKENS)  # bounded by the window and the decoder alone
NO_SPEECH_PROB, MIN_LOGPROB = 0.6, -1.0  # above the one and below the other is silence (openai/whisper)

States = np.ndarray[Any, np.dtype[np.float16]]


@dataclass(frozen=True, slots=True)
class Target:
    """A window's label and the teacher's last decoder states at its L positions, shape (L, D).

    `states` has no rows where only the label is learned: silence, to which a teacher may invent words.
    `label` is None where nothing is learned: the teacher's text does not end, or had a loop cut off.
    """

    label: Label | None
    states: States


class Teacher:
    """A model on windows padded to 30 s: CTranslate2 encodes and decodes, torch gives the states."""

    def __init__(self, engine: CTranslate2Engine, model: Any) -> None:
        """`model` is `engine`'s in Hugging Face form; its decoder and projection are used."""
        self.engine, self.device = engine, torch.device(engine.model.device)
        self.decoder = model.model.decoder.to(self.device).eval()
        self.width: int = model.config.d_model

    def targets(self, clips: Sequence[Pcm], speech: Sequence[bool]) -> list[Target]:
        """Return one target per clip; those that are not `speech` are labelled as silence, not decoded."""
        decoded = [i for i, is_speech in enumerate(speech) if is_speech]
        found: dict[int, Target] = {}
        for at in range(0, len(decoded), BATCH):
            rows = decoded[at : at + BATCH]
            found.update(zip(rows, self._decoded([clips[i] for i in rows]), strict=True))
        silent = Target(no_speech_label(self.engine.tokens, named=False), self._no_states())
        return [found.get(i, silent) for i in range(len(clips))]

    def _decoded(self, clips: Sequence[Pcm]) -> list[Target]:
        encoded = self.engine.encode(clips, WINDOW_S)
        results = self.engine.decode(encoded, clips, WHOLE, [None] * len(clips))
        labels = [_label(self.engine.tokens, result) for result in results]
        states_BTD = torch.from_numpy(on_host(encoded)).to(self.device, torch.float32)
        kept = [i for i, label in enumerate(labels) if label and not is_silence(results[i])]
        states = dict(zip(kept, self._states([labels[i] for i in kept], states_BTD[kept]), strict=True))
        return [Target(label, states.get(i, self._no_states())) for i, label in enumerate(labels)]

    def _states(self, labels: Sequence[Label | None], states_BTD: torch.Tensor) -> list[States]:
        if not labels:  # the decoder takes no empty batch
            return []
        lengths = [len(label.inputs) for label in labels if label]
        inputs_BL = torch.full((len(lengths), max(lengths)), self.engine.tokens.end, device=self.device)
        for row, label in zip(inputs_BL, labels, strict=True):
            if label:
                row[: len(label.inputs)] = torch.tensor(label.inputs)
        with torch.inference_mode():
            hidden_BLD = decode_states(self.decoder, inputs_BL, states_BTD).half().cpu().numpy()
        return [rows[:length] for rows, length in zip(hidden_BLD, lengths, strict=True)]

    def _no_states(self) -> States:
        return np.zeros((0, self.width), np.float16)


def _label(tokens: Tokens, result: DecodingResult) -> Label | None:
    """Return the label of the teacher's own tokens; None where they are truncated.

    The end of the text after half of it would teach the student to leave words out. What Whisper takes for
    silence is labelled so, not by the words that a teacher invents to it.
    """
    if is_silence(result):
        return no_speech_label(tokens, named=False, language=result.language)
    if result.truncated:
        return None
    ids = [*tokens.prompt(result.language), *result.tokens, tokens.end]
    return Label(tuple(ids[:-1]), tuple(ids[1:]))


def is_silence(result: DecodingResult) -> bool:
    """Say whether Whisper's own rule takes what was decoded for silence (openai/whisper, transcribe.py)."""
    return (result.no_speech_prob or 0.0) > NO_SPEECH_PROB and result.avg_logprob < MIN_LOGPROB


def fill(
    folder: Path,
    windows: Sequence[Pcm],
    speech: Sequence[bool],
    teacher: Callable[[], Teacher],
    report: Callable[[int, int], None] = lambda done, total: None,
) -> "TeacherCache":
    """Fill the cache in `folder` with the targets of `windows`; what is there is not computed again.

    The caller binds the folder to what the targets depend on. `report` is told after each shard how many
    windows of how many are done. Raises OSError, naming the folder, where the disk is full: the same call
    goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [at for at in range(0, len(windows), SHARD) if not _shard(folder, at).exists()]
    made = teacher() if missing else None
    for at in missing:
        assert made is not None
        here = slice(at, at + SHARD)
        write_shard(_shard(folder, at), made.targets(windows[here], speech[here]))
        report(min(at + SHARD, len(windows)), len(windows))
    return TeacherCache(folder, len(windows))


def _shard(folder: Path, at: int) -> Path:
    return folder / f"{at // SHARD:05d}.safetensors"


def write_shard(file: Path, targets: Sequence[Target]) -> None:
    """Write `targets` to `file`, which appears whole or not at all."""
    labels = [t.label or Label((), ()) for t in targets]
    arrays = {
        "lengths": np.array([len(label.inputs) for label in labels], np.int32),
        "rows": np.array([len(t.states) for t in targets], np.int32),
        "inputs": np.array([i for label in labels for i in label.inputs], np.int32),
        "targets": np.array([i for label in labels for i in label.targets], np.int32),
        "states": np.concatenate([t.states for t in targets]),
    }
    part = file.with_suffix(".part")
    try:
        part.write_bytes(save(arrays))
        part.rename(file)
    except OSError as e:
        part.unlink(missing_ok=True)
        raise OSError(e.errno, os.strerror(e.errno or 0), str(file.parent)) from e


class TeacherCache(Sequence[Target]):
    """The targets of a filled cache; states are read when a target is."""

    def __init__(self, folder: Path, windows: int) -> None:
        self._shards = [_Shard(_shard(folder, at)) for at in range(0, windows, SHARD)]
        self._windows = windows

    def __len__(self) -> int:
        return self._windows

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._shards[index // SHARD].target(index % SHARD)

    def labels(self) -> Iterator[Label | None]:
        """Yield the label of each window, None where nothing is learned of it, without reading states."""
        for shard in self._shards:
            yield from map(shard.label, range(len(shard.lengths)))


class _Shard:
    def __init__(self, file: Path) -> None:
        try:
            opened: Any = safe_open(str(file), framework="numpy")  # it has no types
            self.lengths, self.rows, self.inputs, self.targets = (
                opened.get_tensor(name) for name in ("lengths", "rows", "inputs", "targets")
            )
        except (OSError, SafetensorError) as e:
            raise TrainingError(f"{file}: expected a shard of a teacher's cache, got {e}; delete it.") from e
        self._file = opened
        self._starts = [0, *accumulate(self.lengths.tolist())]
        self._row_starts = [0, *accumulate(self.rows.tolist())]

    def label(self, row: int) -> Label | None:
        ids = slice(self._starts[row], self._starts[row + 1])
        inputs, targets = tuple(self.inputs[ids].tolist()), tuple(self.targets[ids].tolist())
        return Label(inputs, targets) if inputs else None

    def target(self, row: int) -> Target:
        first, end = self._row_starts[row], self._row_starts[row + 1]
        states = self._file.get_slice("states")
        if first == end:  # safetensors refuses an empty slice at the end
            return Target(self.label(row), np.zeros((0, states.get_shape()[1]), np.float16))
        return Target(self.label(row), states[first:end])
