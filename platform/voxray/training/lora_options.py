"""The options of a low-rank adapter, apart from peft, which takes seconds to import."""

from pydantic import Field

from voxray.config import Config


class LoraOptions(Config):
    """An adapter on every linear layer of encoder and decoder; W becomes W + alpha / rank * B A."""

    rank: int = Field(default=8, ge=1)
    """Rank of the product B A."""
    alpha: float = 16.0
    """Scale of the adapter, times the rank."""
