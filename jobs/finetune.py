"""Fine-tune: a model gets better on a corpus with texts.

    corpus -> clips with texts -> Ray Train: CE on the references -> WER on the dev clips by generation
    -> early stopping -> out/model (the best), out/report.html, out/tensorboard; WER before and after

Killed anywhere, the same command goes on from its last checkpoint. With several nodes, `out` must be on
storage that all of them see.

Smoke:      python jobs/finetune.py --config jobs/configs/finetune.yaml max_steps=20 evaluate_every=10
Reference:  python jobs/finetune.py --config jobs/configs/finetune.yaml corpus=FOLDER out=runs/mine
"""

import sys

from voxray import job
from voxray.recipes.finetune import FinetuneConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, FinetuneConfig, run))
