"""How a group is, by one look at each of its ranks."""

from __future__ import annotations

import pytest

from sparkctl.planning.groups.members import GroupKind, SeenRank, judge, todo

HOSTS = ("a", "b")
HEAD = SeenRank("a", state="running", rank=0, hosts=HOSTS)
WORKER = SeenRank("b", state="running", rank=1, hosts=HOSTS)
DEAD = WORKER._replace(state="exited", ended="exited with code 1")
AWAY = SeenRank("b", reached=False)


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        ((HEAD, WORKER), GroupKind.WHOLE),
        ((HEAD, DEAD), GroupKind.HALF),
        ((HEAD, SeenRank("b")), GroupKind.HALF),
        ((HEAD, WORKER._replace(state="created")), GroupKind.HALF),
        ((HEAD, WORKER._replace(rank=0)), GroupKind.HALF),
        ((HEAD, WORKER._replace(hosts=("c", "b"))), GroupKind.HALF),
        ((SeenRank("a"), SeenRank("b")), GroupKind.GONE),
        ((HEAD, AWAY), GroupKind.UNKNOWN),
        ((SeenRank("a"), AWAY), GroupKind.UNKNOWN),
        ((HEAD._replace(state="exited"), AWAY), GroupKind.HALF),
        ((HEAD,), GroupKind.UNKNOWN),
    ],
)
def test_a_host_that_does_not_answer_is_no_rank_that_ended_h15(seen: tuple[SeenRank, ...], kind: GroupKind) -> None:
    assert judge(HOSTS, seen).kind is kind


def test_a_half_is_said_with_the_rank_that_made_it_one_and_the_next_step() -> None:
    now = judge(HOSTS, (HEAD, DEAD))
    assert now.culprit == DEAD
    assert now.words == "rank 0 on a runs; rank 1 on b exited with code 1"
    assert "sparkctl up pair --hosts a,b starts it as one" in todo("pair", now, HOSTS)
    assert "hosts doctor" in todo("pair", judge(HOSTS, (HEAD, AWAY)), HOSTS)
    assert not todo("pair", judge(HOSTS, (HEAD, WORKER)), HOSTS)
