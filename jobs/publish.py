"""Publish a model: to the Hugging Face hub, to a folder, or to a URL that fsspec knows (s3://, gs://).

    model folder (+ README.md, its model card) -> hf://OWNER/NAME, FOLDER, s3://BUCKET/PREFIX

The hub needs a token that may write, in HF_TOKEN; without one nothing is sent. The job starts no cluster and
may run beside others. Killed, the same command goes on: the hub is sent what it lacks; elsewhere
SHA256SUMS.part lists what has arrived, and SHA256SUMS is there once all has.

Smoke, what jobs/export.py wrote, to a folder:
    python jobs/publish.py --config jobs/configs/publish.yaml

To the hub, the repository private if it is new:
    HF_TOKEN=... python jobs/publish.py model=runs/served to=hf://OWNER/NAME private=true
"""

import sys

from voxray import job
from voxray.recipes.publish import PublishConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, PublishConfig, run))
