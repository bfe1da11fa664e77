"""Export a model to the form that serves: a CTranslate2 folder that faster-whisper opens as it is.

    Hugging Face folder -> CTranslate2 -> transcribes the check set as its source does? -> out

The source is heard through transformers in float32 on 30 s windows. The export counts only where it stays
within `tolerance` (per cent of the source's words; in float32, where no token differs); else nothing is
written. `out/voxray.json` says the smallest window on which it hears, within the same tolerance, what it
hears on 30 s: the server pads to no less.

Smoke, on the 40 sample clips for testing:
    python jobs/export.py --config jobs/configs/export.yaml

A trained model, checked on one's own clips:
    python jobs/export.py model=runs/distil/model corpus=my-audio split=dev quantization=int8 out=runs/served

The former, with the starting model on two shared cores, took 75 s and printed
    {"path": "runs/export", "quantization": "int8", "bytes": 4856945, "min_window_s": 30.0,
     "wer_to_source": 1.65, "clips": 40, "windows": {"2": 28.0, "4": 25.21, ..., "20": 11.25, "30": 0.0}}
"""

import sys

from voxray import job
from voxray.recipes.export import ExportConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, ExportConfig, run))
