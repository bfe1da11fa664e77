"""A live session as pure logic: audio and hypotheses go in, events and decode requests come out."""
