"""The whole of training on real Whisper, in a few minutes on two cores: what `make demo` runs.

    sample clips -> tiny.en labels them -> filter -> a student with two of its four decoder layers -> int8
    -> teacher and student scored, stock Whisper beside them on each window -> report.html
    -> a clip transcribed

Smoke:  python jobs/demo.py max_steps=3 out=runs/smoke
Run:    python jobs/demo.py --config jobs/configs/demo.yaml
"""

import sys

from voxray import job
from voxray.recipes.demo import DemoConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, DemoConfig, run))
