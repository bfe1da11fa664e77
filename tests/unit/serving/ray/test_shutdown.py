"""When a replica drains; Serve is a script here. tests/service/test_paused_controller.py asks the real one."""

import asyncio
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Ray declares its own schema in pydantic's old way
    from voxray.serving.ray.shutdown import ShutdownDetector

SHORT_S = 0.02


class Controller:
    """Answers once it is there: it `answers` whether replicas are stopping, and may check health then."""

    def __init__(self, *answers: bool) -> None:
        self.there = asyncio.Event()
        self.answers = list(answers)
        self.asked = 0
        self.checks: ShutdownDetector | None = None

    async def __call__(self) -> bool:
        self.asked += 1
        await self.there.wait()
        if self.checks:
            self.checks.health_checked()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def detector(controller: Controller) -> ShutdownDetector:
    return ShutdownDetector(controller, unchecked_s=SHORT_S, confirm_s=SHORT_S)


async def waits_for(detected: asyncio.Task[None], controller: Controller, questions: int) -> bool:
    """Whether the replica still waits once the controller has been asked so often."""
    async with asyncio.timeout(5):
        while controller.asked < questions and not detected.done():
            await asyncio.sleep(0.001)
    return not detected.done()


def test_a_replica_that_is_stopped_learns_of_it() -> None:
    async def test() -> None:
        controller = Controller(True)
        controller.there.set()

        await asyncio.wait_for(detector(controller).wait(), 5)

    asyncio.run(test())


def test_a_silent_controller_is_waited_for() -> None:
    async def test() -> None:
        controller = Controller(False)
        detected = asyncio.create_task(detector(controller).wait())

        assert await waits_for(detected, controller, questions=1)
        await asyncio.sleep(10 * SHORT_S)  # as long as it says nothing, nothing follows
        assert not detected.done()
        controller.there.set()
        assert await waits_for(detected, controller, questions=4)
        controller.answers = [True]
        await asyncio.wait_for(detected, 5)

    asyncio.run(test())


def test_one_that_is_checked_stays_while_others_of_its_deployment_are_stopped() -> None:
    async def test() -> None:
        controller = Controller(True)
        controller.there.set()
        replica = detector(controller)
        controller.checks = replica
        detected = asyncio.create_task(replica.wait())

        assert await waits_for(detected, controller, questions=4)
        detected.cancel()

    asyncio.run(test())
