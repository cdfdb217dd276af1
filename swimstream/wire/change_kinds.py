"""The number of each kind of change."""

from __future__ import annotations


class ChangeKind:
    """First item of a change. Numbers are never used again."""

    FOUND = 1
    NOOP = 2
    SUBMIT_JOB = 3
    ASSIGN = 4
    EVICT = 5
    CONCLUDE = 6
    HOLD = 7
    RELEASE = 8
    REVOKE = 9
    SET_AUTHORITY = 10
    CHANGE_COUNCIL = 11
    RESIZE_COUNCIL = 12
    RECOVER_COUNCIL = 13
    UPDATE_JOB = 14
    CANCEL_JOB = 15
    FORGET = 16
    RESTART = 17
    QUARANTINE = 18
    PARDON = 19
    BLAME = 20
    SET_WORKER_MODE = 21
    DECLARE_DEAD = 22
    SET_POLICY = 23
    SET_STANDBYS = 24
    CLAIM_PROGRESS = 25
    KEEP_REPLACEMENT = 26
