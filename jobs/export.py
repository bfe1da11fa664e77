"""Export a model to CTranslate2, which serves, to GGML for whisper.cpp, to transformers or to OpenAI's form.

    Hugging Face folder -> out/ in that format -> does it transcribe the check set as its source does? -> out

The source is run through transformers in float32, on the windows that it was trained for. The export is kept
only if it is worse by at most `tolerance` (points of error rate, in every language of the check set; without
texts, per cent of the source's text; in float32 no token may differ); else nothing is written. GGML is run by
whisper.cpp itself where pywhispercpp is installed; where it is not, the job says that nothing was checked.
`out/voxray.json` has the smallest window on which it is, within the same tolerance, as good as on those: the
server pads to no less. `out/README.md` is the model card.

Smoke, tiny.en on the 40 sample clips for testing:
    python jobs/export.py --config jobs/configs/export.yaml

A trained model, checked on one's own clips:
    python jobs/export.py model=runs/distil/model corpus=my-audio split=dev quantization=int8 out=runs/served

The same for whisper.cpp, and as a folder for transformers:
    python jobs/export.py model=runs/distil/model corpus=my-audio format=ggml quantization=q5_0 out=runs/phone
    python jobs/export.py model=runs/distil/model corpus=my-audio format=transformers out=runs/transformers
    python jobs/export.py model=runs/distil/model corpus=my-audio format=openai out=runs/openai
"""

import sys

from voxray import job
from voxray.recipes.export import ExportConfig, run

if __name__ == "__main__":
    sys.exit(job.main(__doc__, ExportConfig, run))
