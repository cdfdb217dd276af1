"""Questions for the output of an instance, and answers: CBOR arrays in the payload of a query. Later versions append.

A question is `[job, operator, index, start, tail]`, start null for the tail. An answer is
`[start, data, end, begun, epoch, is_running]`, or a text that says why there is none.
"""

from __future__ import annotations

from swimstream.errors import UsageError
from swimstream.model.logs import LOG_PAGE_BYTES_MAX, TAIL_LINES_MAX, KeptOutput, LogRequest
from swimstream.wire import checks
from swimstream.wire.cbor import decode_item_untrusted, encode_item

WHY_BYTES_MAX = 1_024


def encode_log_request(asked: LogRequest) -> bytes:
    """Return the payload of a question."""
    instance = asked.instance
    return encode_item([instance.job, instance.operator, instance.index, asked.start, asked.tail])


def read_log_request_untrusted(payload: bytes) -> LogRequest:
    """Return what is asked; raise `WireError` for what makes no sense."""
    job, operator, index, start, tail, *_ = checks.record(decode_item_untrusted(payload), "logs", length=5)
    return LogRequest(
        instance=checks.instance(job, operator, index, "logs.instance"),
        start=None if start is None else checks.integer(start, "logs.start"),
        tail=checks.integer(tail, "logs.tail", high=TAIL_LINES_MAX),
    )


def encode_kept(answer: KeptOutput | str) -> bytes:
    """Return the payload of an answer: a page, or why there is none."""
    if isinstance(answer, str):
        return encode_item(answer.encode()[:WHY_BYTES_MAX].decode(errors="ignore"))
    return encode_item([answer.start, answer.data, answer.end, answer.begun, answer.epoch, answer.is_running])


def read_kept_untrusted(payload: bytes) -> KeptOutput:
    """Return the page; raise `WireError` for what makes no sense, `UsageError` if the answer says why there is none."""
    item = decode_item_untrusted(payload)
    if isinstance(item, str):
        raise UsageError(checks.text(item, "logs.why", bytes_max=WHY_BYTES_MAX))
    start, data, end, begun, epoch, is_running, *_ = checks.record(item, "logs", length=6)
    return KeptOutput(
        start=checks.integer(start, "logs.start"),
        data=checks.payload(data, "logs.data", bytes_max=LOG_PAGE_BYTES_MAX),
        end=checks.integer(end, "logs.end"),
        begun=checks.integer(begun, "logs.begun"),
        epoch=checks.integer(epoch, "logs.epoch"),
        is_running=checks.boolean(is_running, "logs.is_running"),
    )
