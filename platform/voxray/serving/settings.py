"""The settings of a deployment: `args` in serve/config.yaml, `key=value` for `serve run`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from voxray.config import Config
from voxray.streaming.agreement import Policy
from voxray.wire import MAX_FRAME_BYTES, MAX_MODEL

WHISPER_1 = "whisper-1"  # OpenAI's name for the default model
MODEL_NAME = re.compile(rf"[\w.@/-]{{1,{MAX_MODEL}}}")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


class Limits(Config):
    """Limits on one client, one actor and the whole service."""

    sessions: int = 1_000  # in all
    sessions_per_actor: int = Field(default=64, ge=1, le=512)  # 1: one actor per client
    session_s: float = 4 * 3600.0
    start_s: float = 30.0  # until the first message of a connection
    idle_s: float = 300.0  # without a message
    kept_s: float = 60.0  # of a session without a connection
    # Audio per session, and as much again at the gateway.
    undecoded_s: float = Field(default=30.0, ge=15.0)
    frame_bytes: int = MAX_FRAME_BYTES
    body_bytes: int = 100_000_000
    uploads: int = Field(default=64, ge=1)  # bodies of REST requests at once, in one gateway
    files: int = Field(default=16, ge=1)  # of these, in decoding
    decoded_s: float = 4 * 3600.0  # audio of one REST file, and of all in one gateway
    finalizes_per_s: float = 10.0
    overspeed: float = 4.0  # times real time, beyond the credit


class Quota(Config):
    """What a key may use of one gateway."""

    sessions: int | None = Field(default=None, ge=1)  # at once
    audio_s_per_day: float | None = Field(default=None, gt=0)
    requests_per_min: float | None = Field(default=None, ge=1)


class Access(Config):
    """Who may connect. Keys are read from `keys_file`, one per line, or the environment's VOXRAY_API_KEYS."""

    quota: Quota = Quota()  # of keys without one of their own
    audit_log: Path | None = None  # a line of JSON per connection and request
    keys_file: Path | None = None
    allow_anonymous: bool = False  # on hosts other than loopback without keys
    allowed_hosts: tuple[str, ...] = LOOPBACK
    allowed_origins: tuple[str, ...] = ()  # besides the page's own


class Decoding(Config):
    """How windows are decoded."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    compute_type: str = "default"  # int8 on CPU, float16 on CUDA
    threads: int = Field(default=0, ge=0)  # of all batches together; 0: the replica's CPUs
    workers: int = Field(default=0, ge=0)  # batches at a time; 0: see `threads_and_workers`
    max_batch: int = Field(default=16, ge=1)
    max_partials: int = Field(default=0, ge=0)  # in a batch that has any; 0: 4 on CPU, max_batch on CUDA
    fill_ms: float = Field(default=20.0, ge=0)
    policy: Policy = Policy.AGREEMENT
    partial_every_s: float = Field(default=0.5, ge=0.1)

    def threads_and_workers(self, cpus: float, *, short_windows_on_cpu: bool) -> tuple[int, int]:
        """Return the threads of a batch, and how many batches are decoded at a time.

        Short windows gain little from a second thread: on CPUs each thread decodes batches of its own. A
        batch of 30 s windows is slow, and has all threads.
        """
        threads = self.threads or max(1, round(cpus))
        workers = self.workers or (threads if short_windows_on_cpu else 1)
        return max(1, threads // workers), workers


class Replicas(Config):
    """The number of replicas, and the CPUs of each."""

    min: int = Field(default=1, ge=1)
    max: int = Field(default=1, ge=1)
    cpus: float = 1.0
    up_s: float = Field(default=3.0, gt=0)  # over the target, before a replica is added
    down_s: float = Field(default=60.0, gt=0)  # below the target, before one is removed

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"expected min to be at most max, which is {self.max}; set max too")
        return self


class Gateways(Replicas):
    """Gateways, scaled to half of `connections_per_gateway` each."""

    cpus: float = 0.5


class Transcribers(Replicas):
    """Transcribers: one is added where windows wait over `queue_delay_s`, one removed below a quarter."""

    gpus: float = 0.0
    queue_delay_s: float = 0.2
    loaded_models: int = Field(default=4, ge=0)  # beside the default, at once in each
    loaded_bytes: int = Field(default=4_000_000_000, ge=0)  # of their weights on disk


class TrainingSettings(Config):
    """Trainings over REST; there are none without `dir`."""

    dir: Path | None = None  # on storage that all nodes see
    models: tuple[str, ...] = ("tiny.en", "tiny.en@stock")  # that may be trained; the first is the default
    corpora: tuple[str, ...] = ()  # that `corpus` may name
    cpus: float = Field(default=1.0, gt=0)  # of each training, and its threads
    gpus: float = Field(default=0.0, ge=0)
    upload_bytes: int = Field(default=1_000_000_000, ge=1)
    unpacked_bytes: int = Field(default=4_000_000_000, ge=1)
    files: int = Field(default=20_000, ge=1)  # in an archive
    audio_s: float = Field(default=100 * 3600.0, gt=0)  # in an archive
    hours: float = Field(default=24.0, gt=0)  # that one may take from its start
    unfinished: int = Field(default=4, ge=1)  # of one key
    kept: int = Field(default=20, ge=1)  # of one key, unfinished ones too
    stored_bytes: int = Field(default=100_000_000_000, ge=1)  # of one key's trainings and files
    tensorboard_url: str | None = Field(default=None, pattern=r"^https?://\S+$")  # that shows `dir`


class CorrectionSettings(Config):
    """Finals that are recorded for correction, of the keys that opted in; there are none without `dir`."""

    dir: Path | None = None  # on storage that all nodes see
    days: float = Field(default=30.0, gt=0)  # after which audio and texts are deleted, corrected or not
    stored_bytes: int = Field(default=1_000_000_000, ge=1)  # of one key; the most confident make room


class ServiceArgs(Config):
    """The whole service. The defaults suit one machine and tiny.en."""

    model: str = "tiny.en"
    models: Mapping[str, str] = Field(default_factory=dict)  # more of them: name -> what `model` may be
    host: str = "127.0.0.1"  # where the proxy listens: keys are needed unless on loopback
    tick_ms: float = Field(default=50.0, ge=5)
    gateway: Gateways = Gateways()
    connections_per_gateway: int = Field(default=800, ge=1, le=900)
    transcriber: Transcribers = Transcribers()
    limits: Limits = Limits()
    access: Access = Access()
    decoding: Decoding = Decoding()
    trainings: TrainingSettings = TrainingSettings()
    corrections: CorrectionSettings = CorrectionSettings()

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name in self.models:
            if name in (self.model, WHISPER_1) or not MODEL_NAME.fullmatch(name):
                taken = f"other than {self.model} and {WHISPER_1}, which are the default"
                raise ValueError(
                    f"models: expected names of up to {MAX_MODEL} letters, digits and . _ @ / -, {taken}"
                )
        return self
