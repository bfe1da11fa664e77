"""The whole of training on what comes with the package, in a few minutes on two cores: what `make demo` runs.

    sample clips -> pseudo-label -> filter -> distil to one decoder layer -> score both -> export int8
    -> transcribe a clip

Run:  python jobs/demo.py --config jobs/configs/demo.yaml
"""

import sys

from voxray import job
from voxray.recipes.demo import DemoConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, DemoConfig, run))
