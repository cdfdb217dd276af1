"""Two workers whose applications talk, by tags, a message and a question: `python examples/talk.py`."""

import threading

import swimstream


def listen(worker: swimstream.Worker, events: swimstream.Subscription) -> None:
    """Answer what `worker` is asked, and print what it is sent, until it stops."""
    for event in events:
        match event:
            case swimstream.MessageReceived(sender, topic, payload):
                print(f"{worker.run.name}: {sender.name} sends {topic}: {payload.decode()}")
            case swimstream.QueryReceived(question) if question.topic == "load":
                worker.answer(question, b"0.7").wait()
            case _:
                pass  # broadcasts, members, jobs: see the events of the API


def main() -> None:
    """Let one worker listen and another speak."""
    first = swimstream.Worker(name="first", preset="local", tags={"role": "edge", "disk": "ssd"})
    with first, first.events() as events:
        listener = threading.Thread(target=listen, args=(first, events))
        listener.start()
        second = swimstream.Worker(name="second", preset="local", seeds=[str(first.address)])
        with second:
            print(f"second: first has the tags {dict(second.tags('first'))}")
            second.send("first", "greeting", b"hello").wait()
            result = second.query("load", tag=("role", "edge")).wait()
            print(f"second: answers {dict(result.answers)}, silent {result.silent}, away {result.away}")
    listener.join()


if __name__ == "__main__":
    main()
