"""The model card (README.md) of an exported model, from what its export and its training run say of it.

Nothing is guessed: what neither says is called unknown.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub import ModelCard, ModelCardData

from voxray.whisper.digest import sha256_of
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import STOCK, known_names
from voxray.whisper.registry import ggml_files

FILE_NAME = "README.md"
TEMPLATE = Path(__file__).with_name("model_card.md.j2")
UNKNOWN = "unknown"
FORMS = {
    "ctranslate2": "CTranslate2",
    "ggml": "whisper.cpp (GGML)",
    "transformers": "transformers",
    "openai": "OpenAI's Whisper",
}
USAGE = {
    "ctranslate2": "    voxray transcribe --model FOLDER RECORDING\n\nfaster-whisper opens the folder too.",
    "ggml": "    whisper-cli -m {file} -f RECORDING.wav --no-flash-attn --audio-ctx POSITIONS\n\n"
    "POSITIONS is 50 for a second of window, {positions} at least; 0 is 30 s.",
    "transformers": '    transformers.pipeline("automatic-speech-recognition", model="FOLDER")',
    "openai": '    whisper.load_model("FOLDER/model.pt")',
}


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What the run that trained a model left beside it: its options, its result, and its clips' digests."""

    config: Mapping[str, Any]
    result: Mapping[str, Any]
    stores: tuple[str, ...]

    @classmethod
    def of(cls, model: Path) -> "TrainingRecord | None":
        """Return the record of the run whose `model` (or `best/model`) this folder is; None without one."""
        for run in (model.resolve().parent, model.resolve().parent.parent):
            config = _read(run / "config.json")
            if config.keys() & {"labelled", "corpus"}:
                return cls(config, _read(run / "result.json"), tuple(_stores(run / "clips-train")))
        return None

    @property
    def recipe(self) -> str:
        """The job that ran, by the keys that it alone has."""
        keys = {"trials": "sweep", "labelled": "distil", "passes": "adapt", "train": "finetune"}
        return next((recipe for key, recipe in keys.items() if key in self.config), UNKNOWN)

    @property
    def start(self) -> str:
        """The model that taught, or that the run started from."""
        return str(self.config.get("teacher") or self.config.get("model") or UNKNOWN)

    @property
    def corpora(self) -> list[str]:
        """What was trained on, as the options name it."""
        given = self.config.get("labelled") or self.config.get("corpus") or []
        return [given] if isinstance(given, str) else list(given)


def write_card(folder: Path, info: ModelInfo, name: str, model: Path, license: str | None = None) -> None:
    """Write the card of the export in `folder`, made from `model`, which the user called `name`."""
    record = TrainingRecord.of(model)
    facts = {**_export_facts(folder, info, name), **_training_facts(record)}
    card = ModelCard.from_template(
        card_data(info, name, license),
        template_path=str(TEMPLATE),
        percent=lambda rate: f"{100 * rate:.2f}",
        license=license or f"{UNKNOWN.capitalize()}; it depends on those of the model and corpora above.",
        **facts,
    )
    (folder / FILE_NAME).write_text(str(card))


def card_data(info: ModelInfo, name: str, license: str | None = None) -> ModelCardData:
    """Return the metadata that a hub reads from the head of a card."""
    return ModelCardData(
        language=list(info.languages) or None,
        license=license,
        base_model=base_model(name),
        pipeline_tag="automatic-speech-recognition",
        library_name=info.format if info.format in ("ctranslate2", "transformers") else None,
        tags=["whisper", "voxray", *([info.format] if info.format else [])],
    )


def base_model(name: str) -> str | None:
    """Return the hub's name of the model that `name` was made from, over several runs; None if unknown."""
    if Path(name).is_dir():
        record = TrainingRecord.of(Path(name))
        return base_model(record.start) if record and record.start not in (UNKNOWN, name) else None
    known = known_names().get(name.removesuffix(STOCK))
    return known or (name if name.count("/") == 1 and not Path(name).exists() else None)


def _export_facts(folder: Path, info: ModelInfo, name: str) -> dict[str, Any]:
    form = info.format or ""
    files = [file.name for file in ggml_files(folder)]
    return {
        "title": _title(name),
        "parameters": f"{info.parameters:,}" if info.parameters else UNKNOWN,
        "languages": ", ".join(info.languages) or UNKNOWN,
        "form": FORMS.get(form, UNKNOWN),
        "quantization": info.quantization or UNKNOWN,
        "version": info.voxray or UNKNOWN,
        "source": name,
        "source_digest": info.source or UNKNOWN,
        "min_window_s": f"{info.min_window_s:g}",
        "usage": USAGE.get(form, "").format(
            file=files[0] if files else "", positions=f"{50 * info.min_window_s:g}"
        ),
        "score": info.score,
        "wer_to_source": info.wer_to_source,
        "windows": info.windows,
    }


def _title(name: str) -> str:
    """Return the name of a model for people: its own, or that of the run whose `model` it is."""
    folder = Path(name).resolve()
    if not folder.is_dir():
        return name
    return folder.parent.name if folder.name == "model" else folder.name


def _training_facts(record: TrainingRecord | None) -> dict[str, Any]:
    if record is None:
        keys = ("recipe", "start", "corpora", "stores", "threshold", "normaliser")
        return {**dict.fromkeys(keys, UNKNOWN), "result": {}, "config": None}
    threshold = record.config.get("wer_threshold", UNKNOWN)
    scalars = {k: v for k, v in record.result.items() if isinstance(v, int | float) and v is not None}
    return {
        "recipe": record.recipe,
        "start": record.start,
        "corpora": ", ".join(f"`{corpus}`" for corpus in record.corpora) or UNKNOWN,
        "stores": "; ".join(record.stores) or UNKNOWN,
        "threshold": "none" if threshold is None else threshold,
        "normaliser": record.config.get("normaliser", UNKNOWN),
        "result": scalars,
        "config": json.dumps(record.config, indent=1),
    }


def _stores(folder: Path) -> Iterator[str]:
    """Yield the number of clips in each store below `folder`, and the digest of its table without audio."""
    for table in sorted(folder.rglob("clips.parquet")):
        yield f"{pq.read_metadata(table).num_rows} (SHA-256 of their table {sha256_of(table)})"


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    values = json.loads(file.read_text())
    return values if isinstance(values, dict) else {}
