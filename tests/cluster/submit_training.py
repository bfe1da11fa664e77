"""Starts the trainings in a folder that need a GPU, as gateways do, and prints the first as it changes.

python -m tests.cluster.submit_training ADDRESS FOLDER
"""

import asyncio
import sys

import ray

from voxray.serving.ray.trainings import RayTrainingRunner
from voxray.serving.settings import ServiceArgs
from voxray.serving.trainings.service import TrainingService

POLL_S = 0.2


async def main(address: str, directory: str) -> None:
    """Run until the training has ended."""
    ray.init(address=address, log_to_driver=False)
    args = ServiceArgs.model_validate({"trainings": {"dir": directory, "gpus": 1}})
    service = TrainingService(args, RayTrainingRunner(args.trainings))
    await service.keep_running()
    (folder,) = service.store.all()
    shown = None
    while shown is None or not shown.status.final:
        training = await service.described(folder)
        if shown is None or training.shown_state != shown.shown_state:
            shown = training
            print(training.model_dump_json(), flush=True)
        await asyncio.sleep(POLL_S)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
