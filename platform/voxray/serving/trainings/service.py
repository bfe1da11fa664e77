"""What can be done with trainings, whatever the shape of the request: made, found, ended, deleted."""

import asyncio
import time
from contextlib import suppress
from typing import Protocol

from voxray.serving.api_error import ApiError
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.rest.limits import Slots
from voxray.serving.settings import ServiceArgs
from voxray.serving.trainings.bodies import TrainingObject
from voxray.serving.trainings.files import FileStore
from voxray.serving.trainings.states import TrainingRequest, TrainingStatus
from voxray.serving.trainings.store import TrainingFolder, TrainingStore, readable
from voxray.serving.trainings.submission import Submission

UPLOADS = 2  # at once in one gateway
CORRECTIONS = "corrections"  # the corpus of the clips that were corrected with a key


class TrainingRunner(Protocol):
    """Runs `supervise` for trainings, in processes that outlive the gateway."""

    async def check(self, request: TrainingRequest) -> None:
        """Raise ConfigError where the job would not take the request's keys."""
        ...

    async def start(self, id: str) -> None:
        """Start the training with this id, or queue it; nothing if that was done before."""
        ...

    async def stop(self, folder: TrainingFolder) -> None:
        """Return when nothing works on a cancelled training any more."""
        ...

    async def queue_reason(self) -> str:
        """Return in words what a queued training waits for."""
        ...


class TrainingService:
    """The trainings of one gateway's clients. `args.trainings.dir` must be there.

    Methods raise ApiError for what a client did wrong. `owner` is that of its key (`AccessPolicy.owner`).
    """

    def __init__(self, args: ServiceArgs, runner: TrainingRunner) -> None:
        assert args.trainings.dir
        self.settings = args.trainings
        self.limits = args.limits.model_copy(update={"body_bytes": args.trainings.upload_bytes})
        self.store = TrainingStore(args.trainings.dir)
        self.files = FileStore(args.trainings.dir)
        self._corrections = CorrectionStore(args.corrections) if args.corrections.dir else None
        self.uploads = Slots(UPLOADS, "uploads of trainings")
        self._runner = runner

    def corpora(self, owner: str) -> dict[str, str]:
        """Return the corpora that trainings of `owner` may name, and what each stands for.

        Clips that were corrected with its key are one. It waits for the disk.
        """
        store = self._corrections
        own = {CORRECTIONS: str(store.corpus(owner))} if store and store.counts(owner)[1] else {}
        return {**own, **{name: name for name in self.settings.corpora}}

    async def keep_running(self) -> None:
        """Start what is unfinished: after a restart of the cluster, nothing works on it."""
        await asyncio.to_thread(self.store.sweep)
        for folder in await asyncio.to_thread(self.store.unfinished):
            await self._runner.start(folder.id)

    async def create(self, submission: Submission) -> TrainingFolder:
        """Make a training and start it, or queue it. ConfigError or CorpusError where its keys or its archive
        are not acceptable: nothing of it is left then.

        If the client disconnects meanwhile, its archive is closed, and nothing is stored.
        """
        await self._runner.check(submission.request)
        await self.check_quota(submission.request.owner)
        await asyncio.to_thread(submission.store, self.store)
        folder = self.store.find(submission.request.id)
        assert folder
        await self._runner.start(folder.id)
        return folder

    async def check_quota(self, owner: str) -> None:
        """Raise ApiError 429 where `owner` has as many trainings, or bytes, as one may."""
        own = await asyncio.to_thread(self.store.owned_by, owner)
        unfinished = await asyncio.to_thread(self.store.unfinished, own)
        kept, most = self.settings.kept, self.settings.unfinished
        if len(unfinished) >= most:
            raise _over(f"at most {most} unfinished trainings of a key, got one more; wait or cancel one.")
        if len(own) >= kept:
            raise _over(f"at most {kept} trainings of a key, got one more; delete one.")
        await self.check_stored(owner)

    async def check_stored(self, owner: str) -> None:
        """Raise ApiError 429 where the trainings and files of `owner` have as many bytes as they may."""
        stored, most = await asyncio.to_thread(self._stored_bytes, owner), self.settings.stored_bytes
        if stored >= most:
            raise _over(f"less than {most} bytes in a key's trainings and files, got {stored}; delete one.")

    def _stored_bytes(self, owner: str) -> int:
        files = sum(file.bytes for file in self.files.owned_by(owner))
        return files + sum(folder.stored_bytes for folder in self.store.owned_by(owner))

    async def owned_by(self, owner: str) -> tuple[TrainingObject, ...]:
        """Return the trainings of `owner`, the newest first."""
        found = []
        for folder in await asyncio.to_thread(self.store.owned_by, owner):
            with readable(folder):
                found.append(await self.described(folder))
        return tuple(found)

    async def described(self, folder: TrainingFolder) -> TrainingObject:
        """Read a training in a thread: its directory may be on another machine."""
        url = self.settings.tensorboard_url
        training = await asyncio.to_thread(TrainingObject.of, folder, time.time(), url)
        if training.status is not TrainingStatus.QUEUED:
            return training
        return training.model_copy(update={"progress": f"queued: {await self._runner.queue_reason()}"})

    def find(self, id: str, owner: str) -> TrainingFolder:
        """Return a training; ApiError 404 unless it is there, and of `owner`."""
        folder = self.store.find(id)
        with suppress(FileNotFoundError):
            if folder and folder.request.owner == owner:
                return folder
        message = f"id: expected one of your trainings, got {id[:80]!r}."
        raise ApiError(404, message, param="id", code="not_found")

    async def cancel(self, folder: TrainingFolder) -> None:
        """End a training; nothing works on it any more then."""
        folder.cancel()
        await self._runner.stop(folder)

    async def delete(self, folder: TrainingFolder) -> None:
        """End a training, and remove its data and its model."""
        await self.cancel(folder)
        await asyncio.to_thread(self.store.delete, folder)


def _over(expected: str) -> ApiError:
    return ApiError(429, f"expected {expected}", code="quota_exceeded")
