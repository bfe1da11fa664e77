"""Every corpus by its name, on a disk or under a URL: `builtin`, audio folder, manifest, tables, tars.

Listing is cheap and happens where it is called; audio is read later, item by item. `load_clips` reads a small
corpus at once, without Ray.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files
from itertools import groupby
from pathlib import Path, PurePosixPath

from voxray.audio import EXTENSIONS, duration_s
from voxray.corpora import places
from voxray.corpora.audio_folder import has_tables, list_folder
from voxray.corpora.columns import DEFAULT, Columns
from voxray.corpora.hub import hub_url, is_hub_name
from voxray.corpora.items import Item, Listing, Rejected, previous_texts, timed_segments
from voxray.corpora.manifests import list_manifest
from voxray.corpora.reading import DecodedItem, read_items
from voxray.corpora.splits import check_split, describe
from voxray.corpora.store import Clip
from voxray.corpora.tables import list_tables, saved_tables
from voxray.corpora.webdataset import list_tars
from voxray.errors import CorpusError

BUILTIN = "builtin"
CORPUS_KINDS = (
    "builtin, an audio folder, a .jsonl manifest, parquet files, a dataset saved by save_to_disk, or "
    "WebDataset tars; a path, a URL (s3://, gs://, hf://) or a data set of the hub "
    "(OWNER/NAME:CONFIGURATION); several as a+b"
)
"""What a corpus may be, for the help of each job that reads one."""
_LISTERS = {".parquet": list_tables, ".arrow": list_tables, ".tar": list_tars}


def list_corpus(
    corpus: str, split: str | None = None, *, need_text: bool = False, columns: Columns = DEFAULT
) -> Listing:
    """List what `corpus` holds in `split` (None: all of it), and what was rejected.

    `need_text` rejects clips without a reference. Raises CorpusError where the corpus is missing, holds
    nothing usable, or has no such split.
    """
    if split is not None:
        check_split(split, corpus)
    listing = _unique(_list(corpus, columns))
    whole = _with_texts(listing) if need_text else listing
    if not whole.items:
        raise CorpusError(f"{corpus}: expected clips, got none that can be used: {whole.rejected[0].reason}")
    return _in_split(whole, split, corpus) if split else whole


def corpora_in(corpus: str) -> list[str]:
    """Return the corpora that `corpus` names with a plus between them; it alone where it is a file."""
    parts = corpus.split("+")
    return parts if all(parts) and not Path(corpus).exists() else [corpus]


def load_clips(
    corpus: str,
    split: str | None = None,
    *,
    need_text: bool = True,
    language: str = "en",
    max_s: float | None = None,
    threads: int = 4,
    columns: Columns = DEFAULT,
) -> tuple[list[Clip], list[Rejected]]:
    """Load a corpus into memory, in its order: clips, and what was rejected.

    `language` is for clips that name none; `max_s` rejects longer clips. A clip without a text has "".
    Raises CorpusError as `list_corpus` does, and where not one clip can be decoded.
    """
    listing = list_corpus(corpus, split, need_text=need_text, columns=columns)
    read = list(iter_clips(listing, language=language, max_s=max_s, threads=threads))
    rejected = [*listing.rejected, *(r for r in read if isinstance(r, Rejected))]
    clips = [clip for clip in read if isinstance(clip, Clip)]
    if not clips:
        raise CorpusError(f"{corpus}: expected clips, got none that can be used: {rejected[0].reason}")
    return clips, rejected


def iter_clips(
    listing: Listing, *, language: str = "en", max_s: float | None = None, threads: int = 4
) -> Iterator[Clip | Rejected]:
    """Yield the clips of `listing` in its order, each as soon as it is decoded, or why it was rejected.

    The options are those of `load_clips`. A few recordings are decoded ahead: memory does not grow with the
    corpus.
    """
    previous = previous_texts(listing.items)
    waiting: deque[Future[list[DecodedItem | Rejected]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for _, group in groupby(listing.items, key=lambda item: item.source):
            waiting.append(pool.submit(_decoded, list(group), max_s))
            if len(waiting) > 2 * threads:
                yield from _clips(waiting.popleft().result(), language, previous)
        for future in waiting:
            yield from _clips(future.result(), language, previous)


def _decoded(items: Sequence[Item], max_s: float | None) -> list[DecodedItem | Rejected]:
    return list(_limited(read_items(items), max_s))


def _clips(
    read: Iterable[DecodedItem | Rejected], language: str, previous: Mapping[str, str]
) -> Iterator[Clip | Rejected]:
    return (r if isinstance(r, Rejected) else _clip(r, language, previous) for r in read)


def _list(corpus: str, columns: Columns) -> Listing:
    if len(parts := corpora_in(corpus)) > 1:
        return _joined(parts, columns)
    if corpus == BUILTIN:
        return list_folder(str(files("voxray") / "assets" / "clips"))
    place = places.absolute(corpus)
    if place.endswith((".jsonl", ".json")):
        return list_manifest(place, columns)
    if lister := _LISTERS.get(_suffix(place)):
        return lister({place.rpartition("/")[2]: place}, columns)
    if is_hub_name(corpus) and not Path(place).exists():
        place = hub_url(corpus)
    return _list_folder(place, columns)


def _joined(corpora: Sequence[str], columns: Columns) -> Listing:
    """List several corpora as one, with the name of each before its ids."""
    names = [part.rstrip("/").rpartition("/")[2] for part in corpora]
    prefixes = [name if names.count(name) == 1 else f"{name}-{k}" for k, name in enumerate(names, 1)]
    listings = [_list(part, columns) for part in corpora]
    items = [_within(p, item) for p, its in zip(prefixes, listings, strict=True) for item in its.items]
    return Listing(tuple(items), tuple(r for its in listings for r in its.rejected))


def _within(prefix: str, item: Item) -> Item:
    recording = f"{prefix}/{item.recording}" if item.recording else ""
    return replace(item, id=f"{prefix}/{item.id}", recording=recording)


def _list_folder(folder: str, columns: Columns) -> Listing:
    names = places.list_names(folder)
    by_suffix = {s: [n for n in names if _suffix(n) == s] for s in _LISTERS}
    held = {suffix: found for suffix, found in by_suffix.items() if found}
    if saved := saved_tables(folder, by_suffix[".arrow"], names):
        return list_tables(saved, columns)
    audio = [n for n in names if _suffix(n) in EXTENSIONS]
    if not held or (audio and has_tables(names)):
        return list_folder(folder, columns)
    first = [found[0] for found in held.values()] + audio[:1]
    if len(first) > 1:
        raise CorpusError(
            f"{folder}: expected one kind of corpus, got {' and '.join(first)}; keep them apart, or name one."
        )
    ((suffix, found),) = held.items()
    return _LISTERS[suffix]({name: places.join(folder, name) for name in found}, columns)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _unique(listing: Listing) -> Listing:
    seen: dict[str, Item] = {}
    doubled: list[Rejected] = []
    for item in listing.items:
        first = seen.setdefault(item.id, item)
        if first is not item:
            reason = f"{item.source}: expected one clip per uid, got {first.source} as {item.id!r} too."
            doubled.append(Rejected(item.id, item.source, reason, item.split))
    return Listing(tuple(seen.values()), (*listing.rejected, *doubled))


def _with_texts(listing: Listing) -> Listing:
    entries: list[Item | Rejected] = [_text_or_reason(item) for item in listing.items]
    checked = Listing.of(entries)
    return Listing(checked.items, (*listing.rejected, *checked.rejected))


def _text_or_reason(item: Item) -> Item | Rejected:
    if (item.text or "").strip() or item.no_speech:
        return item
    problem = "none" if item.text is None else "an empty one"
    reason = f"{item.source}: expected a reference text for this clip, got {problem}."
    return Rejected(item.id, item.source, reason, item.split)


def _in_split(listing: Listing, split: str, corpus: str) -> Listing:
    items = tuple(i for i in listing.items if i.split == split)
    if not items:
        raise CorpusError(
            f"{corpus}: expected clips in {split!r}, got {describe(i.split for i in listing.items)}."
        )
    return Listing(items, tuple(r for r in listing.rejected if r.split in (None, split)))


def _limited(read: Iterable[DecodedItem | Rejected], max_s: float | None) -> Iterator[DecodedItem | Rejected]:
    for clip in read:
        if isinstance(clip, DecodedItem) and max_s is not None and duration_s(clip.pcm) > max_s:
            item, lasts_s = clip.item, duration_s(clip.pcm)
            reason = f"{item.source}: expected a clip of at most {max_s:g} s, got {lasts_s:.2f} s."
            yield Rejected(item.id, item.source, reason, item.split)
        else:
            yield clip


def _clip(decoded: DecodedItem, language: str, previous: Mapping[str, str]) -> Clip:
    item = decoded.item
    return Clip(
        id=item.id,
        pcm=decoded.pcm,
        text=item.text or "",
        speaker=item.speaker,
        language=item.language or language,
        segments=timed_segments(item.sentences or (), duration_s(decoded.pcm)),
        previous=previous.get(item.id, ""),
        task=item.task or "transcribe",
    )
