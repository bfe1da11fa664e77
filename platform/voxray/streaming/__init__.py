"""A live session as pure logic: audio, hypotheses and the time in, events and decode requests out."""
