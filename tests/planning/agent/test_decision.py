"""What the agent does about a box, told as it happens: one look after another."""

from __future__ import annotations

from dataclasses import replace

from pydantic import TypeAdapter

from sparkctl.base.units import GIB
from sparkctl.planning.agent.decision import Decision, decide
from sparkctl.planning.agent.observation import (
    LONG,
    ActionKind,
    ActionOutcome,
    ActionResult,
    BoxAction,
    BoxSeen,
    Incarnation,
    SeenState,
    Standing,
    StandingKind,
)
from sparkctl.planning.agent.past import AgentPast
from sparkctl.planning.box.declared import DeclaredService, Restarts, StartMode

RESTARTS = Restarts(10.0, 300.0, 3, 1800.0)
PAST = TypeAdapter(AgentPast)


def service(name: str, priority: int = 0, start: StartMode = StartMode.ALWAYS, *after: str) -> DeclaredService:
    return DeclaredService(name, start, priority, False, after, None, 60.0, RESTARTS)


class Story:
    """A box that a test changes between looks. Each look keeps what happened as JSON, and asks a second time."""

    def __init__(self, *declared: DeclaredService) -> None:
        self.declared = declared
        self.seen = BoxSeen((), agent="agent", boot="boot", available_bytes=100 * GIB, others_bytes=0)
        self.past = AgentPast()
        self.now = 1000.0
        self.lives = 0

    def look(self, after_s: float = 0.0) -> Decision:
        self.now += after_s
        found = decide(self.declared, self.seen, self.past, self.now, 0.0)
        self.past = PAST.validate_json(PAST.dump_json(found.past))
        assert not decide(self.declared, self.seen, self.past, self.now, 0.0).actions
        return found

    def acts(self, after_s: float = 0.0) -> list[str]:
        return [f"{action.kind} {action.service}" for action in self.look(after_s).actions]

    def says(self, name: str, after_s: float = 0.0) -> str:
        return next(one.words for one in self.look(after_s).words if one.name == name)

    def is_(self, name: str, state: SeenState = SeenState.READY, **more: object) -> None:
        """Change what is seen of a service; a live one that was not is a new life."""
        before = self.seen.service(name)
        now = replace(before, state=state, **more)  # type: ignore[arg-type]
        if now.live and not before.live:
            self.lives += 1
            now = replace(now, incarnation=Incarnation(f"c{self.lives}", float(self.lives)))
        others = tuple(one for one in self.seen.services if one.name != name)
        self.seen = replace(self.seen, services=(*others, now))

    def box(self, **more: object) -> None:
        self.seen = replace(self.seen, **more)  # type: ignore[arg-type]

    def ended(self, result: ActionResult, why: str = "", **more: object) -> None:
        """Tell how the action under way ended."""
        assert self.past.underway is not None
        self.box(outcome=ActionOutcome(self.past.underway.number, result, why, **more))  # type: ignore[arg-type]

    def started(self, name: str, after_s: float = 0.0) -> None:
        """Let the start of a service that is decided now succeed."""
        assert self.acts(after_s) == [f"start {name}"]
        self.is_(name)
        self.ended(ActionResult.DONE)

    def fails(self, name: str, after_s: float = 0.0, why: str = "no memory", **more: object) -> None:
        """Let the start of a service that is decided now fail; its container is removed."""
        assert self.acts(after_s) == [f"start {name}"]
        self.is_(name, SeenState.ABSENT)
        self.ended(ActionResult.FAILED, why, **more)


def one_that_runs(*declared: DeclaredService) -> Story:
    story = Story(*(declared or (service("a"),)))
    for one in story.declared:
        if one.start is not StartMode.MANUAL:
            story.is_(one.name)
    assert story.acts() == []
    return story


def test_services_start_one_at_a_time_by_priority_and_after_what_they_need() -> None:
    story = Story(service("low", 1), service("high", 9), service("top", 10, StartMode.ALWAYS, "base"), service("base"))
    assert story.acts() == ["start base"]
    assert story.says("top") == "waiting for base, which is not ready"
    assert story.says("high") == "waiting for its turn: base is being worked on"
    story.is_("base", SeenState.STARTING)
    assert story.says("top", 30) == "waiting for base, which is starting"
    assert story.says("high") == "waiting for its turn: base is started first"
    story.is_("base")
    story.ended(ActionResult.DONE)
    story.started("top")
    story.started("high")
    story.started("low")
    assert story.acts(1) == []
    assert {one.words for one in story.look().words} == {"running"}


def test_an_end_with_exit_code_0_is_a_failure_and_waits_longer_each_time() -> None:
    story = one_that_runs()
    for wait in (10, 20, 40, 80):
        story.is_("a", SeenState.ENDED, exit_code=0)
        assert story.acts(60) == []
        assert f"starts again in {wait if wait < 60 else '1m 20'}s" in story.says("a")
        assert "it ended with exit code 0" in story.says("a")
        assert story.acts(wait - 1) == []
        story.started("a", 1)
        assert story.acts() == []


def test_ten_minutes_of_health_make_it_forget() -> None:
    story = one_that_runs()
    story.is_("a", SeenState.ENDED, exit_code=1)
    story.look()
    story.started("a", 10)
    story.look()
    story.look(600)
    story.is_("a", SeenState.ENDED, exit_code=1)
    assert "starts again in 10s, after failure 1" in story.says("a")


def test_three_failed_starts_hold_it_until_its_standing_is_gone() -> None:
    story = Story(service("a"))
    story.fails("a")
    assert story.acts() == []
    story.fails("a", 10)
    assert story.acts() == []
    story.fails("a", 20)
    found = story.look()
    why = "3 starts within 30m 00s ended before it was ready, the last one so: no memory"
    assert found.actions == (BoxAction(ActionKind.HOLD, "a", why),)
    story.is_("a", SeenState.ABSENT, standing=Standing(StandingKind.HELD, why))
    assert story.acts(4000) == []
    assert story.says("a") == f"held: {why}"
    story.is_("a", SeenState.ABSENT, standing=None)
    assert story.acts() == ["start a"]


def test_a_hold_that_cannot_be_kept_holds_and_is_tried_again() -> None:
    story = Story(service("a"))
    story.fails("a", why="no such flag", passes=False, fix="remove it")
    assert story.acts() == ["hold a"]
    assert story.acts(200) == []
    assert story.acts(200) == ["hold a"]
    story.is_("a")
    assert story.says("a") == "running"


def test_a_cause_that_is_there_at_each_start_holds_it_at_once() -> None:
    story = one_that_runs()
    story.is_("a", SeenState.ENDED, exit_code=1, cause="the model's folder is gone", passes=False, fix="download it")
    assert story.look().actions == (
        BoxAction(ActionKind.HOLD, "a", "the model's folder is gone (it ended with exit code 1): download it"),
    )


def test_what_an_operator_paused_or_works_on_or_starts_by_hand_alone_is_left_alone() -> None:
    story = one_that_runs(service("a"), service("b"), service("c", 0, StartMode.MANUAL))
    story.is_("a", SeenState.ENDED, exit_code=143, standing=Standing(StandingKind.PAUSED, who="ann"))
    story.is_("b", SeenState.ABSENT, worked_on=True)
    assert story.acts(3600) == []
    said = [one.words for one in story.look().words]
    assert said == [
        "paused by ann: up or apply starts it again",
        "waiting: a command works on it",
        "off: it is started by up alone",
    ]
    story.is_("a", SeenState.READY, worked_on=True, standing=Standing(StandingKind.PAUSED, who="ann"))
    assert story.look().words[0].words == "running", "an apply that is at it ends the pause"
    story.is_("a", SeenState.ABSENT, worked_on=True, standing=Standing(StandingKind.PAUSED, who="ann"))
    assert story.look().words[0].words == "waiting: a command works on it"
    story.is_("c", SeenState.ABSENT, standing=Standing(StandingKind.PAUSED, who="ann"))
    assert story.look().words[-1].words == "off: it is started by up alone", "nobody else would start it anyhow"
    story.is_("c", SeenState.STUCK)
    story.look()
    assert story.acts(3600) == []
    assert "left alone" in story.says("c")


def test_a_command_that_has_just_ended_is_not_raced() -> None:
    story = one_that_runs()
    story.is_("a", SeenState.ENDED, worked_on=True, exit_code=143)
    story.look()
    story.is_("a", SeenState.ENDED, worked_on=False)
    assert story.says("a") == "waiting: tried again in 10s"
    assert story.acts(10) == ["start a"]
    assert not story.past.service("a").failures


def test_a_stuck_server_is_stopped_after_its_grace_and_started_after_its_wait() -> None:
    story = one_that_runs()
    story.is_("a", SeenState.STUCK)
    assert story.says("a", 5) == "stuck for 0s: stopped in 1m 00s unless it goes on"
    assert story.acts(59) == []
    assert story.acts(1) == ["stop a"]
    assert story.says("a") == "is stopped, since it was stuck for 1m 00s"
    story.is_("a", SeenState.ENDED, exit_code=143)
    story.ended(ActionResult.DONE)
    assert "starts again in 10s" in story.says("a")
    assert story.acts(10) == ["start a"]


def test_a_server_that_goes_on_was_never_stuck_and_one_on_demand_is_stopped_only() -> None:
    story = one_that_runs(service("a", 0, StartMode.ON_DEMAND))
    story.is_("a", SeenState.STUCK)
    story.look()
    story.is_("a", SeenState.BUSY)
    assert story.acts(59) == []
    story.is_("a", SeenState.STUCK)
    assert story.acts(5) == []
    assert story.acts(60) == ["stop a"]
    story.is_("a", SeenState.ENDED, exit_code=143)
    story.ended(ActionResult.DONE)
    assert story.acts(3600) == []
    assert story.says("a") == "off: it is started when it is asked"


def test_lost_mods_leave_it_running_and_hold_its_restart() -> None:
    story = one_that_runs()
    story.is_("a", SeenState.STUCK, mods_lost=("mtp",))
    story.look()
    assert story.acts(600) == []
    assert "the bytes of mtp are lost: it is not started again when it ends" in story.says("a")
    story.is_("a", SeenState.ENDED, mods_lost=(), exit_code=1)
    assert story.acts() == ["hold a"]
    assert "the bytes of mtp were lost" in story.says("a")


def test_memory_has_to_come_back_and_what_does_not_holds_it_until_it_does() -> None:
    story = one_that_runs()
    story.is_("a", held_bytes=40 * GIB)
    story.box(available_bytes=60 * GIB)
    story.look()
    story.is_("a", SeenState.ENDED, exit_code=137)
    story.box(available_bytes=70 * GIB)
    assert story.acts() == []
    assert story.says("a", 60) == "waiting for 30.0 GiB of memory to come back since it ended"
    assert story.acts(59) == []
    assert story.acts(1) == ["reclaim a"]
    assert story.acts(9) == []
    found = story.look(1)
    why = "30.0 GiB of memory have not come back within 2m 10s after it ended: reboot the host"
    assert found.actions == (BoxAction(ActionKind.HOLD, "a", why),)
    story.is_("a", SeenState.ENDED, standing=Standing(StandingKind.HELD, why))
    assert story.acts(60) == []
    story.box(boot="boot two", agent="another")
    story.now = 20.0
    assert story.acts() == ["release a"]
    story.is_("a", SeenState.ENDED, standing=None)
    assert story.acts(5) == ["start a"]


def test_memory_that_another_service_or_process_took_meanwhile_is_not_missed() -> None:
    story = one_that_runs(service("a"), service("b"))
    story.is_("a", held_bytes=40 * GIB)
    story.is_("b", SeenState.READY, held_bytes=5 * GIB)
    story.box(available_bytes=55 * GIB)
    story.look()
    story.is_("a", SeenState.ENDED, exit_code=137)
    story.is_("b", SeenState.READY, held_bytes=8 * GIB)
    story.box(available_bytes=72 * GIB, others_bytes=20 * GIB)
    story.look()
    assert story.acts(10) == ["start a"]


def test_what_has_no_room_waits_is_no_failure_and_is_asked_again_when_memory_moved() -> None:
    story = Story(service("high", 9), service("low", 1))
    assert story.acts() == ["start high"]
    story.ended(ActionResult.NO_ROOM, "50.0 GiB wanted, 40.0 GiB left")
    assert story.says("high") == "waiting for room: 50.0 GiB wanted, 40.0 GiB left"
    assert story.says("low") == "waiting for high, which has a higher priority and no room yet"
    assert story.acts(400) == []
    story.box(available_bytes=110 * GIB)
    assert story.acts() == ["start high"]
    story.ended(ActionResult.NO_ROOM, "50.0 GiB wanted, 45.0 GiB left")
    story.look()
    story.box(available_bytes=120 * GIB)
    assert story.acts(29) == []
    assert story.acts(1) == ["start high"]
    story.ended(ActionResult.NO_ROOM, "50.0 GiB wanted, 45.0 GiB left")
    assert story.acts(200) == ["start low"]
    assert not story.past.service("high").failures
    assert [one.service for one in story.past.starts] == ["low"]


def test_the_guard_or_what_is_not_there_is_waited_for() -> None:
    story = Story(service("a"))
    story.is_("a", SeenState.ABSENT, lacks="the NVIDIA driver does not answer")
    assert story.says("a") == "waiting: the NVIDIA driver does not answer"
    story.is_("a", SeenState.ABSENT, lacks="")
    story.box(closed="the guard admits no start")
    assert story.says("a", 900) == "waiting: the guard admits no start"
    story.box(closed="")
    assert story.acts() == ["start a"]


def test_what_ended_with_the_engine_is_no_failure() -> None:
    story = one_that_runs()
    story.box(engine="the engine does not answer")
    assert story.says("a", 5) == "waiting: the engine does not answer"
    story.box(engine="")
    story.is_("a", SeenState.ENDED, exit_code=255)
    assert story.acts(30) == ["start a"]
    assert not story.past.service("a").failures


def test_after_a_reboot_all_come_back_at_once_and_one_at_a_time() -> None:
    story = one_that_runs(service("a", 1), service("b", 2))
    story.is_("b")
    story.look(5000)
    for name in ("a", "b"):
        story.is_(name, SeenState.ENDED, exit_code=255)
    story.box(boot="boot two", agent="another")
    story.now = 15.0
    assert story.acts() == ["start b"]
    story.is_("b")
    story.ended(ActionResult.DONE)
    assert story.acts(60) == ["start a"]


def test_an_agent_that_was_killed_joins_the_start_that_it_had_begun() -> None:
    story = Story(service("a"), service("b"))
    assert story.acts() == ["start a"]
    story.is_("a", SeenState.STARTING)
    story.look(30)
    story.box(agent="another")
    assert story.acts() == ["wait a"]
    story.ended(ActionResult.FAILED, "it did not become ready within 20m 00s")
    assert story.acts(1200) == []
    assert story.acts(10) == ["stop a"]
    story.is_("a", SeenState.ENDED, exit_code=143)
    story.ended(ActionResult.DONE)
    assert story.acts() == ["start a"]
    assert len(story.past.service("a").failures) == 1


def test_a_start_that_nobody_saw_the_end_of_is_not_told_by_an_older_container() -> None:
    story = one_that_runs()
    story.is_("a", SeenState.ENDED, exit_code=1)
    story.look()
    assert story.acts(10) == ["start a"]
    story.box(agent="another")
    assert story.acts() == ["start a"]
    assert len(story.past.service("a").failures) == 1


def test_six_starts_an_hour() -> None:
    story = Story(*(service(name, priority) for priority, name in enumerate("abc")))
    for name in "cba":
        story.started(name)
    for name in "abc":
        story.look()
        story.is_(name, SeenState.ENDED, exit_code=1)
        story.look()
        story.started(name, 10)
    story.look()
    story.is_("a", SeenState.ENDED, exit_code=1)
    story.look()
    assert "waiting: no further start within this hour, the next in 59m" in story.says("a", 60)
    assert story.acts(3500) == []
    assert story.acts(100) == ["start a"]


def test_what_differs_is_said_and_nothing_is_done_about_it() -> None:
    story = one_that_runs()
    story.is_("a", differs=("image: the tag is another image now",))
    assert story.says("a") == "running; differs from what was applied: image: the tag is another image now"
    assert story.acts() == []


def test_at_most_one_action_is_long() -> None:
    story = Story(service("a"), service("b"))
    story.is_("a", SeenState.STARTING)
    story.is_("b", SeenState.STARTING)
    found = story.look()
    assert [action.service for action in found.actions if action.kind in LONG] == ["a"]
