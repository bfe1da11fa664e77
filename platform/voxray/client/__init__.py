"""A client of `ws://host:8000/v1/stream`: audio in, text as it is heard out, whatever happens between.

    async with stream("ws://127.0.0.1:8000") as live:
        await live.send(pcm)                    # 16 kHz mono s16le, in pieces of any size
        await live.stop()
        async for event in live:
            if isinstance(event, Final):
                print(event.text)

`conversation.py` is the whole of it without sockets, `connection.py` the sockets around that.
"""

from voxray.client.backoff import RetryPolicy
from voxray.client.connection import Live, stream
from voxray.client.conversation import Conversation, Event, Lost

__all__ = ["Conversation", "Event", "Live", "Lost", "RetryPolicy", "stream"]
