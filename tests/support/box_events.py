"""What befalls a box in a week, by its name. Each says whether it could happen: to stop a server there must be one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import GIB
from sparkctl.planning.agent.observation import Standing, StandingKind
from sparkctl.planning.box.declared import StartMode
from tests.support.box_model import BOX, Death, Fault, Lump

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.box_model import Server
    from tests.support.box_week import Week

_ALWAYS: Final = [one.name for one in BOX if one.start is StartMode.ALWAYS]
_NO_CAUSE: Final = ""


def _live(week: Week, *, ready: bool = False) -> Server | None:
    """Return a server that runs, None where the engine is away or none does."""
    box = week.box
    found = [one for one in box.servers.values() if one.state == "running" and (one.ready(box.at) or not ready)]
    return week.dice.choice(found) if found and not box.engine_away else None


def _dies(week: Week, death: Death, leak_s: float | None = None, *, removed: bool = False) -> bool:
    one = _live(week)
    if one is not None:
        week.box.end(one.name, death, leak_s, removed=removed)
    return one is not None


def crash(week: Week) -> bool:
    return _dies(week, Death(None, week.dice.choice((0, 1, 137)), week.dice.choice((_NO_CAUSE, "its engine died"))))


def out_of_memory(week: Week) -> bool:
    return _dies(week, Death(None, 137, oom=True))


def leak(week: Week) -> bool:
    """End a server whose memory comes back after a while, or only with the next boot (vllm#45179)."""
    return _dies(week, Death(None, 137), week.dice.choice((week.dice.uniform(5, 110), 200.0, math.inf)))


def docker_stop(week: Week) -> bool:
    return _dies(week, Death(None, week.dice.choice((0, 143))))


def docker_rm(week: Week) -> bool:
    return _dies(week, Death(None, 137), removed=True)


def engine_restart(week: Week) -> bool:
    week.box.restart_engine(week.dice.uniform(2, 90), ends=week.dice.random() < 0.5)
    return True


def reboot(week: Week) -> bool:
    week.reboot()
    return True


def agent_killed(week: Week) -> bool:
    week.agent_killed()
    return True


def down(week: Week) -> bool:
    """Stop a service with `down`, and start it again some time later. On a full disk the pause cannot be kept."""
    one = _live(week)
    if one is None:
        return False
    box, name = week.box, one.name
    box.failures.append((box.at, name, one.ready(box.at), True))
    box.stop(name, 143)
    if name in box.hands:
        del box.hands[name]
    if not box.disk_full:
        box.standing[name] = Standing(StandingKind.PAUSED, who="operator")
        week.truth.released(name)
    week.later(week.dice.uniform(600, 10800), lambda: week.up(name))
    return True


def moved_tag(week: Week) -> bool:
    one = _live(week)
    if one is not None:
        one.differs = ("image: the tag is another image now",)
    return one is not None


def lost_mod(week: Week) -> bool:
    """Change the bytes of a mod under a server, which comes back or ends later."""
    one = _live(week, ready=True)
    if one is None:
        return False
    one.mods_lost = ("gemma4_mtp",)
    week.truth.lost[one.name] = one.life
    life = one.life

    def then() -> None:
        now = week.box.servers.get(one.name)
        if now is None or now.life != life or now.state != "running":
            return
        if week.dice.random() < 0.3:
            now.mods_lost = ()
        else:
            week.box.end(one.name, Death(None, 1))

    week.later(week.dice.uniform(60, 3600), then)
    return True


def full_disk(week: Week) -> bool:
    week.box.full_until = week.box.at + week.dice.uniform(600, 7200)
    return True


def slow_load(week: Week) -> bool:
    name = week.dice.choice(_ALWAYS)
    week.box.slow[name] = week.dice.uniform(2, 6)
    return _ended(week, name)


def failing_starts(week: Week) -> bool:
    """Let the next starts of a service fail in some phase, and end what runs of it."""
    name, dice = week.dice.choice(_ALWAYS), week.dice
    death = Death(dice.uniform(0.05, 0.95), dice.choice((0, 1, 137)), "no free memory for the KV cache")
    week.box.faults[name] = Fault(dice.randint(1, 4), death)
    return _ended(week, name)


def lasting_cause(week: Week) -> bool:
    """Let every start of a service fail until an operator changes something, and end what runs of it."""
    name = week.dice.choice(_ALWAYS)
    week.box.faults[name] = Fault(math.inf, Death(0.05, 1, "the model's folder has no config.json", passes=False))
    return _ended(week, name)


def _ended(week: Week, name: str) -> bool:
    one = week.box.servers.get(name)
    if one is not None and one.state == "running" and not week.box.engine_away:
        week.box.end(name, Death(None, 1))
    return True


def stuck(week: Week) -> bool:
    one = _live(week, ready=True)
    if one is None or one.stuck_at < math.inf:
        return False
    one.stuck_at = week.box.at
    one.stuck_until = week.box.at + week.dice.choice((week.dice.uniform(5, 100), math.inf))
    return True


def clock_jump(week: Week) -> bool:
    week.box.clock += week.dice.choice((-86400, 86400))
    return True


def foreign_process(week: Week) -> bool:
    """Let another process take up to 20 GiB for an hour."""
    box = week.box
    size = min(20 * GIB, box.available - GIB)
    if size > 0:
        box.lumps.append(Lump(size, box.at + 3600))
    return size > 0


def guard_closes(week: Week) -> bool:
    week.box.closed_until = week.box.at + week.dice.uniform(60, 1200)
    return True


def command_works(week: Week) -> bool:
    """Let a command of somebody else work on a service for some minutes."""
    name = week.dice.choice(_ALWAYS)
    if week.job is not None and week.job.action.service == name:
        return False
    week.box.hands[name] = week.box.at + week.dice.uniform(20, 300)
    return True


def asked(week: Week) -> bool:
    """Start what no agent starts, for a while."""
    name = week.dice.choice(("vision", "batch"))
    week.up(name)

    def idle() -> None:
        one = week.box.servers.get(name)
        if one is not None and one.ready(week.box.at) and not week.box.engine_away:
            week.box.stop(name, 143)

    week.later(week.dice.uniform(1200, 7200), idle)
    return True


EVENTS: Final[dict[str, Callable[[Week], bool]]] = {
    "crash": crash,
    "killed for memory": out_of_memory,
    "memory left behind": leak,
    "docker stop": docker_stop,
    "docker rm": docker_rm,
    "engine restart": engine_restart,
    "reboot": reboot,
    "agent killed": agent_killed,
    "down, up later": down,
    "moved tag": moved_tag,
    "lost mod": lost_mod,
    "full disk": full_disk,
    "slow load": slow_load,
    "failing starts": failing_starts,
    "lasting cause": lasting_cause,
    "stuck": stuck,
    "clock jump": clock_jump,
    "foreign 20 GiB": foreign_process,
    "guard closes": guard_closes,
    "command works": command_works,
    "asked on demand": asked,
}
