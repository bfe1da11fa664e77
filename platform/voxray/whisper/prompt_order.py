"""A converted Whisper whose ids are in another order, so that a forced prefix is decoded in one pass.

CTranslate2 (4.8, src/models/whisper.cc) decodes in one pass what it takes for the prompt: the tokens from
<|startoftranscript|> on with ids between its own and that of <|notimestamps|>. Text has smaller ids, so that
a forced prefix costs a step a token. Here <|startoftranscript|> is the first of all tokens, text follows, and
the rest is as it was: the prefix belongs to the prompt. Weights, words and results are the same.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxray.audio import WINDOW_S
from voxray.errors import ModelError
from voxray.files import atomic_directory
from voxray.whisper.ctranslate2_binary import read_variables
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.tokens import Tokens

BY_TOKEN = ("decoder/embeddings/", "decoder/projection/")  # variables with a row for each token
VOCABULARIES = ("vocabulary.txt", "vocabulary.json")
ID_LISTS = ("suppress_ids", "suppress_ids_begin", "lang_ids")  # in config.json


def served_folder(folder: Path, copy: Path) -> Path:
    """Return the CTranslate2 model `folder` in the form that live windows are decoded with.

    Of a model for short windows that is a `copy` in this order, made here and needed until it is loaded; of
    another it is `folder` itself.
    """
    streams = ModelInfo.load(folder).min_window_s < WINDOW_S
    return start_first(folder, copy) if streams and reorderable(folder) else folder


def reorderable(folder: Path) -> bool:
    """Say whether the weights of a CTranslate2 folder are of types that numpy can write: not bfloat16."""
    # Views of a file that is mapped to be read cannot be written; what stands for bfloat16 is no view.
    return not any(value.flags.writeable for value in read_variables(folder / "model.bin").values())


def start_first(source: Path, out: Path) -> Path:
    """Write the CTranslate2 model `source` with <|startoftranscript|> as its first token to `out`.

    It appears whole or not at all. Raises ModelError where `source` lacks a list of its tokens.
    """
    tokens = Tokens.load(source)
    file, words = _vocabulary(source)
    order = [tokens.start, *(i for i in range(len(words)) if i != tokens.start)]
    ids = {old: new for new, old in enumerate(order)}
    with atomic_directory(out) as part:
        for path in source.iterdir():
            if path.is_file():
                shutil.copyfile(path, part / path.name)  # contents alone: the source may be read-only
        _reorder_rows(part / "model.bin", order)
        _write_vocabulary(part / file.name, [words[i] for i in order])
        _renumber_tokenizer(part / "tokenizer.json", ids)
        _renumber_config(part / "config.json", ids)
        _say_languages(part / "generation_config.json", multilingual=tokens.multilingual)
    return out


def _vocabulary(folder: Path) -> tuple[Path, list[str]]:
    """Return CTranslate2's list of tokens, and its file."""
    for file in (folder / name for name in VOCABULARIES):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            return file, json.loads(text) if file.suffix == ".json" else text.removesuffix("\n").split("\n")
    raise ModelError(f"{folder}: expected {' or '.join(VOCABULARIES)}, got neither; convert the model again.")


def _write_vocabulary(file: Path, words: Sequence[str]) -> None:
    as_json = file.suffix == ".json"
    text = json.dumps(words, ensure_ascii=False) if as_json else "\n".join(words) + "\n"
    file.write_text(text, encoding="utf-8")


def _reorder_rows(file: Path, order: Sequence[int]) -> None:
    variables = read_variables(file, "r+")
    done: set[int] = set()
    for name, value in variables.items():
        if name.startswith(BY_TOKEN) and value.ndim and len(value) == len(order) and id(value) not in done:
            done.add(id(value))  # aliases share one
            value[...] = value[np.asarray(order)]


def _renumber_tokenizer(file: Path, ids: Mapping[int, int]) -> None:
    tokenizer: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    model = tokenizer["model"]
    model["vocab"] = {text: ids[i] for text, i in model["vocab"].items()}
    for added in tokenizer["added_tokens"]:
        added["id"] = ids[added["id"]]
        model["vocab"][added["content"]] = added["id"]  # what is not in there would be numbered anew
    for special in (tokenizer.get("post_processor") or {}).get("special_tokens", {}).values():
        special["ids"] = [ids[i] for i in special["ids"]]
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def _renumber_config(file: Path, ids: Mapping[int, int]) -> None:
    config = json.loads(file.read_text())
    renumbered = {key: [ids[i] for i in config[key]] for key in ID_LISTS if config.get(key)}
    file.write_text(json.dumps({**config, **renumbered}, indent=1))


def _say_languages(file: Path, *, multilingual: bool) -> None:
    """Say what the number of <|endoftext|> said before; CTranslate2 reads none of it."""
    config = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**config, "is_multilingual": multilingual}))
