"""The number of each kind of message."""

from __future__ import annotations


class Kind:
    """First item of a message. Numbers are never used again."""

    PING = 1
    ACK = 2
    PING_REQUEST = 3
    NACK = 4
    ALIVE = 5
    ACCUSATION = 6
    STATUS_UPDATE = 7
    SYNC_DIGEST = 8
    SYNC_WANT = 9
    FOUND_REQUEST = 10
    FOUND_REPLY = 11
    VOTE_REQUEST = 12
    VOTE_REPLY = 13
    APPEND = 14
    APPEND_REPLY = 15
    SNAPSHOT = 16
    PLAN_PULL = 17
    PLAN_ENTRIES = 18
    PROPOSE = 19
    PROPOSE_REPLY = 20
    TAG_UPDATE = 21
    BROADCAST = 22
    QUERY = 23
    QUERY_REPLY = 24
    LETTER = 25
    LETTER_RECEIPT = 26
    SYNC_CHECK = 27
    SNAPSHOT_PIECE = 28
    PIECE_PULL = 29
    TIMEOUT_NOW = 30
    AUTHORITY_REQUEST = 31
    AUTHORITY_REPLY = 32
    COUNCIL_REQUEST = 33
    CHANGE_REQUEST = 34
