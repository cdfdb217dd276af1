"""Answers what others ask about the output of this worker's instances."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from swimstream.errors import SwimstreamError, WireError
from swimstream.model.logs import LOGS_TOPIC
from swimstream.model.talk import AnswerTo
from swimstream.runners.registry import InWorker
from swimstream.wire.log_codec import encode_kept, read_log_request_untrusted

if TYPE_CHECKING:
    from swimstream.model.identity import InstanceId
    from swimstream.model.talk import Question
    from swimstream.runners.logs import Logs
    from swimstream.runners.registry import Registry
    from swimstream.runtime.thread import PeerThread

log = logging.getLogger(__name__)

WITHOUT_DIRECTORY = "it has neither logs nor a state_dir"


class LogService:
    """Between the peer that is asked and the thread that reads the files."""

    def __init__(
        self, peer: PeerThread, registry: Registry, logs: Logs | None, *, why_none: str = WITHOUT_DIRECTORY
    ) -> None:
        """Serve `logs`; None: nothing is kept here, and `why_none`."""
        self._peer = peer
        self._registry = registry
        self._logs = logs
        self._why_none = why_none

    def answer(self, question: Question) -> None:
        """Answer soon (peer's thread)."""
        if question.topic != LOGS_TOPIC:
            return
        try:
            why = self._refusal(read_log_request_untrusted(question.payload).instance)
        except WireError as error:
            why = f"logs: the question cannot be read: {error}"
        if why:
            self._reply(question, encode_kept(why))
        elif self._logs is not None:
            self._logs.answer(question.payload, lambda answer: self._reply(question, answer))

    def _refusal(self, instance: InstanceId) -> str:
        """Return why there can be no output, or nothing."""
        view = self._peer.views.current
        name = view.run.name
        job = view.plan.jobs.get(instance.job)
        if job is not None and job.has(instance):
            kind = job.operator(instance.operator).kind
            if isinstance(self._registry.find(kind), InWorker):
                return (
                    f"logs: {instance} runs inside the worker {name}, so it has no output of its own; "
                    "look at that of the worker"
                )
        if self._logs is None:
            return f"logs: {name} keeps no output of its instances, since {self._why_none}"
        return ""

    def _reply(self, question: Question, answer: bytes) -> None:
        try:
            self._peer.say(AnswerTo(question, answer))
        except SwimstreamError as error:  # too much is asked of the peer at a time: the asker asks again
            log.warning("a question for output was not answered why=%s", error)
