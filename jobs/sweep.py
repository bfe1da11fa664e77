"""Sweep: Ray Tune over learning rate and WER threshold, each trial a `distil` run on the same labels.

    labels of pseudo_label -> one store of clips, for each threshold a selection from it
    -> trials on Ray Train -> ASHA by WER on the dev clips
    -> out/best/model, scored on the test clips, out/best/checkpoint
    -> table of trials: stdout, out/trials.json, out/report.html

Nothing is labelled or copied for a trial. All trials are judged by the same dev clips and make max_steps
optimiser steps, however many clips their threshold keeps. Killed anywhere, the same command goes on: finished
trials stand, the others go on from their checkpoints. A trial that fails is in the table with its reason.

The cluster needs max_concurrent * (0.01 + workers * cpus_per_worker) CPUs at the same time, which is checked
before the start. With several nodes, `out` must be on storage that all of them see.

Smoke:      python jobs/sweep.py --config jobs/configs/sweep.yaml trials=2 max_steps=20 out=runs/smoke
Reference:  python jobs/sweep.py --config jobs/configs/sweep.yaml
Two shapes: add decoder_layers=[1,2]; the learning rate's bounds: learning_rate=[1e-5,1e-3]
"""

import sys

from voxray import job
from voxray.recipes.sweep import SweepConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, SweepConfig, run))
