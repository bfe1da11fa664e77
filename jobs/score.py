"""Score models on a corpus with texts: WER, CER, speed, and a report with the worst clips to listen to.

    corpus (of any kind in jobs/README.md) -> engines -> out/report.html, out/scores.json, out/result.json

A model is a name such as `tiny.en`, a Hugging Face or CTranslate2 folder, or a hub name; what is not in
CTranslate2's form is converted once and kept in ~/.cache/voxray. Clips over 30 s are cut at pauses and scored
as one; clips that cannot be read are listed in scores.json, and the rest is scored. Rates are pooled over all
clips, in per cent, each clip after the normaliser of its language; the interval is a 95 % bootstrap over
clips. Languages written without spaces count in characters: then `wer` is the CER, `words` the number of
characters.

Several models (`models=[a,b]`) transcribe the same clips, and each is compared with the first by a paired
bootstrap. `suites` adds what the corpus alone does not tell: noise, telephone, silence, cut, long, live,
speculative, or all of them; jobs/README.md says what each measures.

Smoke, on the 40 sample clips for testing:
    python jobs/score.py --config jobs/configs/score.yaml out=runs/score

On recordings, with a folder of .flac, .txt and dev_files.csv:
    python jobs/score.py model=tiny.en corpus=../shared/data/digits/george split=dev out=runs/score-george

Two models on everything:
    python jobs/score.py models=[tiny.en@stock,tiny.en] suites=all corpus=../shared/data/prompts out=runs/both
"""

import sys

from voxray import job
from voxray.recipes.score import ScoreConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, ScoreConfig, run))
