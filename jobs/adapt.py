"""Adapt: make a Whisper streamable: train it to transcribe windows of 2 s as it does windows of 30 s.

    corpus -> windows (cut, joined, sped up, noisy, silent) -> the model itself on 30 s: its texts and last
    decoder states, cached in out/teacher -> LoRA on encoder and decoder, KL + MSE to what is cached
    -> WER, loops and words invented in silence on each window, before and after
    -> out/adapter (LoRA, float16), out/model (merged), out/ctranslate2 (int8), each with its min_window_s
    -> out/report.html, out/tensorboard

`corpus` is one corpus, of any kind in jobs/README.md, or a list of them; it needs no texts. With texts,
WER is measured against them too. The run passes where every window from min_window_s up is within
`tolerance` points of WER of the model on 30 s, without loops. Killed anywhere, the same command goes on.

Smoke:      python jobs/adapt.py --config jobs/configs/adapt.yaml out=runs/smoke max_minutes=1
Reference:  python jobs/adapt.py model=tiny.en@stock corpus=FOLDER out=runs/adapt
"""

import sys

from voxray import job
from voxray.recipes.adapt import AdaptConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, AdaptConfig, run))
