"""Runs a loop, step by step."""

from voxray.training.loop import Loop


def train(loop: Loop, until: int) -> list[float]:
    """The losses of the steps up to `until`."""
    losses: list[float] = []

    def after_step(at: Loop) -> bool:
        losses.append(at.progress().loss)
        return at.step == until

    loop.run(after_step)
    return losses
