"""Label a corpus with a teacher: its words, their times and scores for every clip.

    corpus -> list -> read, decode, cut at pauses -> teacher -> score -> out/labelled/*.parquet
                                                        \\-> out/rejected.jsonl, with reasons

A corpus is of any kind in jobs/README.md. References are optional: with them the labels are scored. Killed
anywhere, the same command goes on where it was. This process alone writes `out`, so that need not be shared
between nodes; the corpus must be.

Smoke:      python jobs/pseudo_label.py --config jobs/configs/pseudo_label.yaml split=test out=runs/smoke
Reference:  python jobs/pseudo_label.py --config jobs/configs/pseudo_label.yaml
On a cluster (an absolute out=, since the job runs in a copy of this folder):
            ray job submit --working-dir . -- python jobs/pseudo_label.py corpus=builtin out=/data/labels
"""

import sys

from voxray import job
from voxray.recipes.pseudo_label import PseudoLabelConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, PseudoLabelConfig, run))
