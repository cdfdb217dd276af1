"""A follower commits no further than what it has just been shown to agree in: found missing by a mutant."""

from __future__ import annotations

from swimstream.wire.council_messages import AppendReply
from tests.core.council.peers import Peer, append, entry, founding, saved_after

OLD_TAIL = (founding("abc"), entry(2, 1, "of the old leader"), entry(3, 1, "of the old leader"))


def test_a_leaders_commit_index_commits_nothing_beyond_what_it_was_sent_with() -> None:
    """The tail that follows may conflict with what the leader holds there: a message carries so many entries only."""
    peer = Peer("b", saved_after(OLD_TAIL))
    peer.hear("c", append(2, prev=(1, 1), commit=3), 0.0)
    (reply,) = peer.said()
    assert isinstance(reply, AppendReply)
    assert (reply.success, reply.index) == (True, 1)
    assert peer.council.log.commit == 1


def test_what_was_sent_is_committed_and_the_conflicting_tail_is_not() -> None:
    peer = Peer("b", saved_after(OLD_TAIL))
    new = entry(2, 2, "of the new leader")
    peer.hear("c", append(2, [new], prev=(1, 1), commit=3), 0.0)
    assert peer.council.log.commit == 2
    assert peer.entries()[-1] == new
