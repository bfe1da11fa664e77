"""What labelling sets of Ray Data while it runs, without a cluster."""

import logging

import ray.data

from voxray.labelling.pipeline import ray_data_settings


def test_ray_data_is_silent_while_labelling_even_where_its_logger_knew_that_it_is_enabled() -> None:
    with ray_data_settings():
        pass  # Ray Data configures its logging when its context is made
    log = logging.getLogger("ray.data")
    before = log.level
    assert log.isEnabledFor(logging.ERROR)  # a logger keeps this answer until a level is set
    with ray_data_settings():
        assert not log.isEnabledFor(logging.ERROR)
    assert (log.level, log.isEnabledFor(logging.ERROR)) == (before, True)


def test_the_context_of_ray_data_is_as_it_was_afterwards() -> None:
    context = ray.data.DataContext.get_current()
    before = (
        context.enable_progress_bars,
        context.max_errored_blocks,
        context.execution_options.preserve_order,
    )
    with ray_data_settings():
        assert context.execution_options.preserve_order
    after = (
        context.enable_progress_bars,
        context.max_errored_blocks,
        context.execution_options.preserve_order,
    )
    assert after == before
