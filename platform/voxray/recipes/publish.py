"""Publishes a model: to the hub, to a folder, or to a URL that fsspec knows; a killed run goes on."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from voxray.config import Config
from voxray.errors import ConfigError, ModelError, ServiceError
from voxray.recipes.model_card import FILE_NAME, write_card
from voxray.recipes.publish_files import publish_files
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.registry import model_form

HUB = "hf://"
TOKEN = "HF_TOKEN"
REMEDIES = {
    401: f"a token that it knows; make one at its settings/tokens and set {TOKEN}",
    403: f"a token that may write there; ask its owner, or take another to= or {TOKEN}",
    404: "a repository that can be made there; check to= and the rights of the token",
}
LATER = "an upload that is accepted; run the same command again later, which goes on where it was"


class PublishConfig(Config):
    """What to publish, and where."""

    model: Path
    """Folder of the model, as jobs/export.py or a training job wrote it."""
    to: str = Field(min_length=1)
    """hf://OWNER/NAME, a folder, or a URL that fsspec knows (s3://BUCKET/PREFIX, its driver installed)."""
    private: bool = False
    """Make the repository private, if it is new on the hub."""
    message: str = "Upload a model with Voxray"
    """Message of the commit on the hub."""


def run(config: PublishConfig) -> dict[str, Any]:
    """Publish `config.model` and return what the JSON line says. A model without a card gets one.

    Raises ModelError where the folder holds no model, ConfigError for the hub without a token, ServiceError
    where the hub refuses, and OutputError where the place is taken or cannot be written.
    """
    form = model_form(config.model) if config.model.is_dir() else None
    if form is None:
        raise ModelError(
            f"{config.model}: expected the folder of a model (CTranslate2, GGML, Hugging Face, adapter), got "
            "one without weights; name what jobs/export.py wrote."
        )
    token = _token(config.to) if config.to.startswith(HUB) else None
    if not (config.model / FILE_NAME).is_file():
        info = ModelInfo.load(config.model)
        known = info if form == "adapter" else info.model_copy(update={"format": form})
        write_card(config.model, known, info.source_name or str(config.model), config.model)
    files = sorted(f for f in config.model.iterdir() if f.is_file() and not f.name.startswith("."))
    sent = sum(f.stat().st_size for f in files)
    print(f"publishing {config.model} ({sent:,} bytes) to {config.to}", file=sys.stderr, flush=True)
    place = _to_hub(config, token) if token else publish_files(files, config.to)
    return {"to": config.to, "form": form, "files": len(files), "bytes": sent, "url": place}


def _token(to: str) -> str:
    if token := os.environ.get(TOKEN):
        return token
    raise ConfigError(f"{to}: expected a token in {TOKEN}, got none; nothing goes to the hub without one.")


def _to_hub(config: PublishConfig, token: str) -> str:
    """Upload to the hub: files that are there as they are here are not sent again."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name = config.to.removeprefix(HUB).strip("/")
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    try:
        api.create_repo(name, private=config.private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=name,
            folder_path=config.model,
            commit_message=config.message,
            ignore_patterns=[".*"],
        )
    except HFValidationError as e:
        raise ConfigError(f"{config.to}: expected {HUB}OWNER/NAME, got another name.") from e
    except Exception as e:  # its client's own where nothing answers, by its release requests' or httpx's
        refusals = [cause for cause in (e, e.__cause__) if isinstance(cause, HfHubHTTPError)]
        raise ServiceError(f"{config.to}: {_reason(refusals, api.endpoint, e)}") from e
    return str(commit.commit_url)


def _reason(refusals: Sequence[Any], endpoint: str, error: Exception) -> str:
    """Return why the hub did not take the model, and what to do."""
    if not refusals:
        first = error.__cause__ or error
        text = " ".join(f"{type(first).__name__}: {first}".split())
        return (
            f"expected the hub at {endpoint} to take the model, got {text}; run the same command again "
            "later, which goes on where it was."
        )
    status = refusals[0].response.status_code
    return f"the hub answered {status}, expected {REMEDIES.get(status, LATER)}."
