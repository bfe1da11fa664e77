"""A client of `ws://host:8000/v1/stream`: audio in, events with text out; it reconnects by itself.

    async with stream("ws://127.0.0.1:8000") as live:
        await live.send(pcm)                    # 16 kHz mono s16le, in pieces of any size
        await live.stop()
        async for event in live:
            if isinstance(event, Final):
                print(event.text)

`conversation.py` is the protocol without I/O, `connection.py` the sockets around it.
"""

from voxray.client.backoff import RetryPolicy
from voxray.client.connection import Live, stream
from voxray.client.conversation import Conversation, Event, Lost

__all__ = ["Conversation", "Event", "Live", "Lost", "RetryPolicy", "stream"]
