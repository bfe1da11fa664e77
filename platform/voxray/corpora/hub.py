"""Data sets of the Hugging Face hub by their names: OWNER/NAME, or OWNER/NAME:CONFIGURATION.

They are read from their parquet files, without a copy on disk. The hub keeps these in a branch of its own, a
folder for each configuration, whatever a data set's own files are.
"""

import re
import sys

from voxray.errors import CorpusError

_NAME = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?::([\w.-]+))?")
_PARQUET = "refs/convert/parquet"
_PARTIAL = "partial-"  # what begins the folder of a split that the hub converted in part
_TIMEOUT_S = 10.0


def is_hub_name(corpus: str) -> bool:
    """Say whether `corpus` has the form of a data set's name."""
    return _NAME.fullmatch(corpus) is not None


def hub_url(corpus: str) -> str:
    """Return the URL of the files of the data set `corpus`, whose name `is_hub_name` accepts.

    Raises CorpusError where the hub has no such data set or configuration, has several and none is named, or
    cannot be asked.
    """
    match = _NAME.fullmatch(corpus)
    assert match is not None
    name, configuration = match.groups()
    revision, folders = _folders(corpus, name)
    known = ", ".join(folders)
    if configuration and configuration not in folders:
        raise CorpusError(f"{corpus}: expected a configuration of {name} ({known}), got {configuration!r}.")
    if not configuration and revision == _PARQUET and len(folders) > 1:
        raise CorpusError(
            f"{corpus}: expected a configuration too, as {name}:{folders[0]}, got none of {known}."
        )
    chosen = configuration or (folders[0] if revision == _PARQUET else "")
    _tell_partial(name, revision, chosen)
    branch = f"@{revision.replace('/', '%2F')}" if revision == _PARQUET else ""
    return f"hf://datasets/{name}{branch}/{chosen}".rstrip("/")


def _folders(corpus: str, name: str) -> tuple[str, list[str]]:
    """Return the branch to read of the data set `name`, and its folders."""
    from huggingface_hub import HfApi  # half a second of imports, for few corpora
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        api = HfApi()
        api.dataset_info(name, timeout=_TIMEOUT_S)
        converted = any(ref.ref == _PARQUET for ref in api.list_repo_refs(name, repo_type="dataset").converts)
        if converted and (configurations := _subfolders(name, _PARQUET)):
            return _PARQUET, configurations
        return "main", _subfolders(name, "main")
    except RepositoryNotFoundError as e:
        raise CorpusError(
            f"{corpus}: expected a corpus, got no folder of that name here and no data set of it on the hub."
        ) from e
    except Exception as e:  # the hub's own, or those of its HTTP library
        raise CorpusError(
            f"{corpus}: expected a corpus, got no folder of that name here, and the hub did not say whether "
            f"it has such a data set ({type(e).__name__})."
        ) from e


def _subfolders(name: str, revision: str, folder: str = "") -> list[str]:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFolder

    entries = HfApi().list_repo_tree(name, folder or None, revision=revision, repo_type="dataset")
    return sorted(e.path.rpartition("/")[2] for e in entries if isinstance(e, RepoFolder))


def _tell_partial(name: str, revision: str, configuration: str) -> None:
    if revision == _PARQUET and any(
        f.startswith(_PARTIAL) for f in _subfolders(name, revision, configuration)
    ):
        print(
            f"{name}: the hub converted only its first part to parquet, which is what is read; "
            f"hf://datasets/{name} is all of its own files.",
            file=sys.stderr,
        )
