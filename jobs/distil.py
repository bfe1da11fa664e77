"""Distil: a small student learns from a teacher and its labels.

    labels of pseudo_label -> filter -> student with fewer decoder layers -> Ray Train: KD + CE
    -> WER on the dev clips by generation -> out/model (the best), out/report.html, out/tensorboard

Killed anywhere, the same command goes on from its last checkpoint. With several nodes, `out` must be on
storage that all of them see.

Smoke:      python jobs/distil.py --config jobs/configs/distil.yaml max_steps=20 out=runs/smoke
Reference:  python jobs/distil.py --config jobs/configs/distil.yaml
Two workers on a CPU:  add workers=2
"""

import sys

from voxray import job
from voxray.recipes.distil import DistilConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, DistilConfig, run))
