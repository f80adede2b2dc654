"""Ways out of a refusal: each makes the set fit, the largest that does, and the one that loses least comes first."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base.units import GIB
from sparkctl.memory.pool import Pool
from sparkctl.planning.admission import Change, Need, Sizes, Switch, Variant, admit
from sparkctl.planning.plan import Running, Wanted, make_plan
from sparkctl.world import labels
from sparkctl.world.labels import LaidOver
from tests.support.command_line import Operator, free_port
from tests.support.thorough import examples, only_thorough

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.planning.ways import Way

FP8 = Switch("args.kv-cache-dtype=fp8", "an 8-bit KV cache", 0.5)
TEXT = Switch("limits.multimodal={image: 0}", "text alone", 1.5)
REST, START = 8 * GIB, 6 * GIB


class Model:
    """A service whose cache is bytes a token and a sequence: its need is known in closed form."""

    def __init__(self, context: int, sequences: int, token: int, switches: tuple[Switch, ...] = (FP8,)) -> None:
        self.context, self.sequences, self.token, self.switches = context, sequences, token, switches
        self.asked: list[Change] = []

    def need(self, change: Change) -> Need:
        self.asked.append(change)
        tokens = (change.context or self.context) * (change.sequences or self.sequences)
        cache = tokens * self.token // (2 if FP8.override in change.switches else 1)
        tower = 0 if TEXT.override in change.switches else 2 * GIB
        return Need(REST + tower + cache, REST + tower + cache + START)

    def wanted(self, name: str, priority: int = 0) -> Wanted:
        need = self.need(Change())
        sizes = Sizes(self.context, self.sequences, self.switches, self.need)
        return Wanted(name, name, "1", need.steady_bytes, need.peak_bytes, priority, sizes=sizes)


def pool(available: float) -> Pool:
    return Pool(120 * GIB, int(available * GIB), 10 * GIB)


def running(name: str, holds: int, priority: int = 0) -> Running:
    return Running(name, name, "1", "ready", holds * GIB, holds * GIB, priority)


def found(wanted: list[Wanted], memory: Pool, now: list[Running] | None = None) -> tuple[Way, ...]:
    plan = make_plan(wanted, now or [], memory, replace=False)
    assert not plan.fits
    return plan.ways


def words(ways: tuple[Way, ...]) -> list[str]:
    return [way.words for way in ways]


def test_single_settings_come_with_the_least_loss_first() -> None:
    # 131,072 x 4 x 32 KiB = 16 GiB of cache; 32 GiB in all while it starts, where 28 fit.
    big = Model(131_072, 4, 32 * 1024, (FP8, TEXT)).wanted("big")
    ways = found([big], pool(38), [running("other", 6)])
    assert words(ways) == [
        "with a context of 98,304 of 131,072 tokens for big",
        "with 3 of 4 sequences for big",
        "with an 8-bit KV cache for big",
        "with other stopped",
    ]
    assert [way.loses for way in ways] == pytest.approx([0.415, 0.415, 0.5, 8], abs=1e-3)
    assert ways[0].changes == {"big": Change(context=98_304)}
    assert ways[-1].stops == ("other",)


def test_the_context_is_the_largest_that_fits() -> None:
    model = Model(100_000, 1, 128 * 1024, ())
    big = model.wanted("big")
    (way,) = found([big], pool(34))
    (change,) = way.changes.values()
    assert change.context is not None
    room = 34 * GIB - 10 * GIB
    assert model.need(change).peak_bytes <= room
    assert model.need(Change(context=change.context + 1024)).peak_bytes > room
    assert change.context % 1024 == 0


def test_a_service_that_can_never_be_small_enough_is_asked_a_few_times_at_most() -> None:
    model = Model(131_072, 64, 32 * 1024)
    assert found([model.wanted("big")], pool(12)) == ()
    assert len(model.asked) <= 6


def test_a_combination_is_found_where_no_single_setting_is_enough() -> None:
    # 512 GiB of cache, and 18 GiB for it: one sequence has 128, a context of 4,608 is all that 4 sequences could have.
    model = Model(131_072, 4, 1024 * 1024)
    (way,) = found([model.wanted("big")], pool(44))[:1]
    (change,) = way.changes.values()
    assert change.switches == (FP8.override,)
    assert change.overrides[0] == FP8.override
    assert way.only_requested
    assert "an 8-bit KV cache and " in way.words


def test_a_combination_over_two_services_takes_back_what_is_not_needed() -> None:
    shrinks, small = Model(65_536, 4, 128 * 1024), Model(8192, 1, 1024, ())
    services = [shrinks.wanted("a"), shrinks.wanted("b"), small.wanted("c")]
    best = found(services, pool(60))[0]
    assert set(best.changes) == {"a", "b"}
    needs = {name: shrinks.need(change) for name, change in best.changes.items()}
    changed = [
        one._replace(steady_bytes=needs[one.name].steady_bytes, peak_bytes=needs[one.name].peak_bytes)
        if one.name in needs
        else one
        for one in services
    ]
    assert admit(changed, [], pool(60), replace=False).fits


def test_what_runs_with_a_higher_priority_is_never_stopped_and_the_lower_comes_first() -> None:
    asking = Model(1024, 1, 0, ()).wanted("a", priority=5)
    now = [running("equal", 20, 5), running("low", 20, 1), running("high", 20, 9)]
    assert [way.stops for way in found([asking], pool(20), now)] == [("low",), ("equal",)]


def test_several_are_stopped_together_when_one_is_not_enough_the_fewest() -> None:
    asking = Wanted("a", "a", "1", 30 * GIB, 40 * GIB)
    now = [running("x", 10), running("y", 12), running("z", 5)]
    assert [way.stops for way in found([asking], pool(30), now)] == [("y", "x")]


def test_a_smaller_setting_and_a_stop_together_when_neither_is_enough() -> None:
    big = Model(131_072, 1, 256 * 1024).wanted("big")  # 32 GiB of cache, 48 in all
    ways = found([big], pool(22), [running("low", 8), running("high", 20, 3)])
    assert ways[0].stops == ("low",)
    assert ways[0].changes["big"].overrides


def test_another_recipe_of_the_same_model_is_the_largest_that_fits_and_one_that_is_here_comes_first() -> None:
    variants = [
        Variant("tiny", (), Need(4 * GIB, 5 * GIB)),
        Variant("far", (), Need(12 * GIB, 14 * GIB), missing=True),
        Variant("small", ("limits.context=4096",), Need(10 * GIB, 12 * GIB)),
        Variant("large", (), Need(60 * GIB, 70 * GIB)),
    ]
    big = Wanted("big", "big", "1", 40 * GIB, 50 * GIB, variants=lambda: variants)
    (way,) = found([big], pool(40))
    assert way.words == "with small in place of big, for the same limits"
    assert way.recipes["big"].overrides == ("limits.context=4096",)
    assert way.only_requested
    (way,) = found([big._replace(variants=lambda: variants[1:2])], pool(40))
    assert not way.only_requested
    assert found([big], pool(40), [running("small", 1), running("tiny", 1)])[0].recipes["big"].recipe == "far"


def test_a_service_of_low_priority_is_left_out_last_of_all() -> None:
    services = [
        Wanted(name, name, "1", 30 * GIB, (40 - i) * GIB, priority)
        for i, (name, priority) in enumerate([("a", 9), ("b", 1), ("c", 0)])
    ]
    (way,) = found(services, pool(60))
    assert (way.without, way.words) == (("c", "b"), "without c, b")
    of_a_stack = [service._replace(asked="stack") for service in services]
    (way,) = found(of_a_stack, pool(60))
    assert way.without == ("c", "b"), "a service of a stack can be left out, as it has a name of its own"


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([1000, 4096, 16384, 131072]), st.integers(1, 9), st.integers(0, 300_000)),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=3),
    st.integers(8, 100),
)
def test_every_way_makes_the_set_fit_and_they_are_ranked(
    shapes: list[tuple[int, int, int]], held: list[tuple[int, int]], available: int
) -> None:
    models = {f"s{i}": Model(*shape, (FP8, TEXT)) for i, shape in enumerate(shapes)}
    wanted = [model.wanted(name, priority=i) for i, (name, model) in enumerate(models.items())]
    now = [running(f"r{i}", holds, priority) for i, (holds, priority) in enumerate(held)]
    plan = make_plan(wanted, now, pool(available), replace=False)
    assert list(plan.ways) == sorted(plan.ways, key=lambda way: (way.loses, way.priority))
    for way in plan.ways:
        needs = {name: models[name].need(change) for name, change in way.changes.items()}
        changed = [
            one._replace(steady_bytes=needs[one.name].steady_bytes, peak_bytes=needs[one.name].peak_bytes)
            if one.name in needs
            else one
            for one in wanted
            if one.name not in way.without
        ]
        left = [one for one in now if one.name not in way.stops]
        more = pool(available).with_more(sum(one.held_bytes for one in now if one.name in way.stops))
        assert make_plan(changed, left, more, replace=False).fits


# --- as commands -----------------------------------------------------------------------------------------------------

LARGE = ["26b-a4b-fp8", "--set", "limits.context=131072", "--set", "limits.sequences=40"]


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    folder = tmp_path / "files"
    (folder / "recipes" / "stacks").mkdir(parents=True)
    (folder / "mods").mkdir()
    environ = {"SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim")}
    return Operator(tmp_path, folder, environ)


def offered(err: str) -> list[str]:
    """Return the commands that a refusal offers."""
    lines = [line.removeprefix("simulated │ ") for line in err.splitlines()]
    return [line.strip() for line in lines if line.startswith("    sparkctl ")]


def test_every_command_that_is_offered_plans_as_one_that_fits(operator: Operator) -> None:
    refused = operator.run("plan", *LARGE).expect(3)
    commands = offered(refused.err)
    assert len(commands) >= 2
    for command in commands:
        words = command.split()
        assert words[:2] == ["sparkctl", "up"]
        paths = [word.partition("=")[0] for before, word in pairwise(words) if before == "--set"]
        assert len(set(paths)) == len(paths), "a setting that the way replaces is not repeated"
        assert "limits.context" in paths
        operator.run("plan", *words[2:]).expect(0)


def test_a_service_of_a_stack_is_changed_by_its_own_name(operator: Operator) -> None:
    one, two = free_port(), free_port()
    operator.write(
        "recipes/stacks/pair.yaml",
        "services:\n"
        f"  one: {{recipe: e4b-nvfp4, priority: 9, set: {{serve.port: {one}}}}}\n"
        f"  two: {{recipe: 26b-a4b-fp8, priority: 1, set: {{serve.port: {two}, limits.context: 131072,"
        " limits.sequences: 40}}\n",
    )
    refused = operator.run("plan", "pair").expect(3)
    command = offered(refused.err)[0].split()
    assert command[:3] == ["sparkctl", "up", "pair"]
    assert command[4].startswith("two:limits.")
    operator.run("plan", *command[2:]).expect(0)


def test_the_options_that_were_given_are_part_of_the_command(operator: Operator) -> None:
    refused = operator.run("--profile", "gb10-121", "plan", *LARGE, "--strict", "--replace").expect(3)
    for command in offered(refused.err):
        assert command.startswith("sparkctl --profile gb10-121 up 26b-a4b-")
        assert " --strict --replace" in command


def test_the_json_of_a_refusal_has_its_ways(operator: Operator) -> None:
    refused = operator.run("plan", *LARGE, "--json").expect(3).json
    first = refused["ways"][0]
    assert list(first) == ["command", "words", "changes", "recipes", "stops", "without", "drop_caches"]
    assert first["command"] == offered(operator.run("plan", *LARGE).expect(3).err)[0]
    (override,) = first["changes"]["26b-a4b-fp8"]
    assert override.startswith("limits.")
    assert f"    {first['command']}" in refused["reasons"]


def test_the_sum_is_drawn_to_scale(operator: Operator) -> None:
    refused = operator.run("plan", *LARGE).expect(3)
    bar, legend = (line.removeprefix("simulated │ ") for line in refused.err.splitlines()[:2])
    assert len(bar) == 72
    assert set(bar) == set("█a!░")
    assert legend.startswith("█ in use by others 8.0  a 26b-a4b-fp8 ")
    assert legend.endswith("░ reserve 10.0")


def test_a_variant_serves_the_same_limits_and_a_port_that_is_taken_keeps_it_out(operator: Operator) -> None:
    large = ["26b-a4b-fp8-mtp", "--host", str(operator.write("box.yaml", "total: 50 GiB\n"))]
    refused = operator.run("plan", *large, "--json").expect(3).json
    recipes = {name: way for way in refused["ways"] for name in way["recipes"].values()}
    assert "26b-a4b-nvfp4" in recipes
    command = recipes["26b-a4b-nvfp4"]["command"]
    assert "--set limits.context=8192" in command
    assert "--download" in command


def test_a_described_machine_may_leave_out_what_has_a_default(operator: Operator) -> None:
    box = operator.write("box.yaml", "total: 64 GiB\nin-use: 4 GiB\n")
    planned = operator.run("plan", "e4b-nvfp4", "--host", str(box), "--json").expect(0).json
    assert planned["pool"]["available_bytes"] == 60 * GIB
    assert planned["pool"]["reserve_bytes"] == 10 * GIB
    assert planned["pool"]["foreign_bytes"] == 4 * GIB


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "total: 8 GiB\nreserve: 10 GiB\n",
            ":2:10: reserve: a machine of 8.0 GiB is no larger than the reserve of 10.0 GiB",
        ),
        ("total: 8 GiB\n", ":1:8: total: a machine of 8.0 GiB is no larger than the reserve of 10.0 GiB"),
        ("total: 20 GiB\nin-use: 12 GiB\n", ":1:8: total: a machine of 20.0 GiB is no larger than reserve and in-use"),
        ("total: 10G\n", ":1:8: total: not a size: '10G'"),
        ("total: 1e11\ntotal: 5\n", ":2:1"),
        ("reserve: 1 GiB\n", "total"),
        ("total: [\n", "box.yaml:"),
    ],
)
def test_a_described_machine_that_cannot_be_is_refused_at_its_line(operator: Operator, text: str, told: str) -> None:
    box = operator.write("box.yaml", text)
    done = operator.run("plan", "e4b-nvfp4", "--host", str(box)).expect(2)
    assert told in done.err
    assert "Traceback" not in done.err


@only_thorough
def test_a_priority_is_on_the_container_and_decides_what_may_be_stopped(operator: Operator) -> None:
    port = free_port()
    operator.write(
        "recipes/stacks/first.yaml",
        f"services:\n  kept: {{recipe: e4b-nvfp4, priority: 7, set: {{serve.port: {port}}}}}\n",
    )
    operator.run("up", "first").expect(0)
    try:
        rendered = operator.run("render", "first", "--json").expect(0).json
        laid_over = labels.read(dict(rendered["labels"])).laid_over
        assert laid_over == LaidOver("first", 7, (f"serve.port={port}",), 500)
        # Only the end of `kept` would make room, and nothing that is wanted is worth as much.
        refused = operator.run("plan", "26b-a4b-fp8", "--set", "memory={kv: 40 GiB}").expect(3)
        assert "down kept" not in refused.err
    finally:
        operator.run("down", "--all").expect(0)
