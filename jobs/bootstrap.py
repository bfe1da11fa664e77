"""Make the built-in model from random weights, or go on from the one that is there.

    grammar -> espeak-ng, flite, festival -> shards of an hour      recorded digits -> recombined
    -> stage after stage of the one training loop -> out/model, out/model-int8 -> scores

Needs Debian's espeak-ng, flite, festival, festvox-kallpc16k, -kdlpc16k and -us-slt-hts. Hours on
two cores, minutes on a GPU; the cache folder keeps shards and checkpoints, and the same command goes on.

From random weights:  python jobs/bootstrap.py --config jobs/configs/bootstrap.yaml
Goes on from those
in the package:       python jobs/bootstrap.py --config jobs/configs/bootstrap.yaml start=builtin
"""

import sys

from voxray import job
from voxray.recipes.bootstrap import BootstrapConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, BootstrapConfig, run))
