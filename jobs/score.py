"""Score a model on a corpus with texts: WER, CER, speed, and a report with the worst clips to listen to.

    corpus (audio folder or .jsonl) -> engine -> out/report.html, out/scores.json, out/result.json

The model is `tiny.en`, a Hugging Face or CTranslate2 folder, or a hub name; what is not in CTranslate2's form
is converted once and kept in ~/.cache/voxray. Clips over 30 s are cut at pauses and scored as one; clips that
cannot be read are listed in scores.json, and the rest is scored. Rates are pooled over all clips, in per
cent, each clip after the normaliser of its language; the interval is a 95 % bootstrap over clips. Languages
written without spaces count in characters: then `wer` is the CER, `words` the number of characters.

Smoke, on the 40 sample clips for testing:
    python jobs/score.py --config jobs/configs/score.yaml out=runs/score

On recordings, with a folder of .flac, .txt and dev_files.csv:
    python jobs/score.py model=tiny.en corpus=../shared/data/digits/george split=dev out=runs/score-george

The latter, with the starting model on two shared cores, took 5 s and printed
    {"wer": 11.83, "cer": 11.83, "clips": 40, "words": 186, "rtfx": 101.6, "substitutions": 5,
     "deletions": 15, "insertions": 2, "wer_low": 8.33, "wer_high": 15.57, "mean_clip_wer": 11.16, ...}
"""

import sys

from voxray import job
from voxray.recipes.score import ScoreConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, ScoreConfig, run))
