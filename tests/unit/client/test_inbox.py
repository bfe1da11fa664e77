from voxray.client.inbox import Inbox
from voxray.wire import Ack, Final, Partial, SpeechStart


def test_a_reader_that_is_late_gets_all_text_and_the_newest_of_the_rest() -> None:
    inbox = Inbox()
    for second in range(1_000):
        inbox.put(Ack(second, 0, 0, float(second), 0.0))
        inbox.put(Partial(0, 0.0, 1.0, "", str(second)))
    inbox.put(SpeechStart(1, 2.0))
    inbox.put(Final(1, 2.0, 3.0, "text"))

    waiting = [inbox.pop() for _ in range(len(inbox))]

    assert waiting == [
        Ack(999, 0, 0, 999.0, 0.0),
        Partial(0, 0.0, 1.0, "", "999"),
        SpeechStart(1, 2.0),
        Final(1, 2.0, 3.0, "text"),
    ]
