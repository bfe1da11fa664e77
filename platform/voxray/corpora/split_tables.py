"""Writes the splits of an audio folder into the tables that `list_folder` reads."""

import csv
from pathlib import Path

from voxray.corpora.audio_folder import has_tables, list_folder
from voxray.corpora.splits import SPLITS
from voxray.errors import CorpusError
from voxray.files import atomic_file


def write_split_tables(folder: Path) -> dict[str, int]:
    """Write `train_files.csv`, `dev_files.csv` and `test_files.csv`, and return the clips in each.

    The splits are those that the folder has by its hashes. Tables can be edited, and a file that is added
    later is in none of them. Raises CorpusError where the folder is missing, holds no audio or has tables
    already; nothing is written then.
    """
    place = folder.resolve()
    listing = list_folder(str(place))
    if has_tables(str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()):
        raise CorpusError(f"{folder}: expected audio without tables, got some; edit those, or remove them.")
    counts = {}
    for split in SPLITS:
        items = [item for item in listing.items if item.split == split]
        with (
            atomic_file(place / f"{split}_files.csv") as part,
            part.open("w", encoding="utf-8", newline="") as file,
        ):
            rows = csv.writer(file)
            rows.writerow(["uid", "file_name"])  # the texts stay beside the audio
            rows.writerows([i.id, str(Path(i.source).relative_to(place))] for i in items)
        counts[split] = len(items)
    return counts
