"""A stack's file: what its declaration refuses and where, and what it makes of its services."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.document import load
from sparkctl.base.errors import Problem, ProblemsError
from sparkctl.base.units import GIB
from sparkctl.base.validation import validate
from sparkctl.recipes import secret_names
from sparkctl.recipes.stack import LEAST_ADJUSTED, MOST_ADJUSTED, Stack, adjusted
from tests.support.command_line import Done
from tests.support.fake_engine import dies
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeHttp

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.engine import Container

SERVICES = "services:\n  a: {recipe: x}\n"
LINES = "reserve > act > floor: admission keeps the first free, the guard ends a service at the others"


def told(text: str) -> list[str]:
    """Return what is wrong with a stack, a line each, without the hints."""
    return [f"{one.place}: {one.message}" for one in problems(text)]


def problems(text: str) -> list[Problem]:
    with pytest.raises(ProblemsError) as error:
        validate(load(text, "s.yaml"), Stack)
    return error.value.problems


# --- who comes after whom --------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_with_after_is_told_at_once_and_at_its_place() -> None:
    text = (
        "services:\n"
        "  one: {recipe: x, after: [tow, one]}\n"
        "  two: {recipe: x, after: [three]}\n"
        "  three: {recipe: x, after: [four]}\n"
        "  four: {recipe: x, after: [two, elsewhere]}\n"
    )
    assert told(text) == [
        "s.yaml:2:28: services.one.after[0]: tow is no service of this stack",
        "s.yaml:2:33: services.one.after[1]: one cannot come after itself",
        "s.yaml:3:28: services.two.after[0]: none of these could ever start: two after three after four after two",
        "s.yaml:5:34: services.four.after[1]: elsewhere is no service of this stack",
    ]
    hints = ["did you mean two?", "remove it", "take one of them out of an `after`", "there are: one, two, three"]
    assert [problem.hint for problem in problems(text)] == hints


@pytest.mark.parametrize(
    ("waits", "other", "refused"),
    [
        ("always", "always", False),
        ("always", "on-demand", True),
        ("always", "manual", True),
        ("on-demand", "always", False),
        ("on-demand", "on-demand", False),
        ("on-demand", "manual", True),
        ("manual", "on-demand", False),
        ("manual", "manual", False),
    ],
)
def test_a_service_waits_only_for_one_that_starts_as_readily(waits: str, other: str, *, refused: bool) -> None:
    text = f"services:\n  a: {{recipe: x, start: {waits}, after: [b]}}\n  b: {{recipe: x, start: {other}}}\n"
    if not refused:
        assert validate(load(text, "s.yaml"), Stack).services["a"].after == ("b",)
        return
    (problem,) = told(text)
    assert f"a has start: {waits} and would wait for b, which has start: {other}, until somebody starts that" in problem
    assert problem.startswith("s.yaml:2:")


def test_what_is_for_services_on_demand_is_refused_of_others() -> None:
    assert told("services:\n  a: {recipe: x, idle: 5m}\n  b: {recipe: x, start: manual, stays: 60s}\n") == [
        "s.yaml:2:24: services.a.idle: is for a service of start: on-demand, and this one has start: always",
        "s.yaml:3:40: services.b.stays: is for a service of start: on-demand, and this one has start: manual",
    ]
    asked = validate(load("services: {a: {recipe: x, start: on-demand, idle: 5m, stays: 2m}}", "s.yaml"), Stack)
    assert (asked.services["a"].idle, asked.services["a"].stays) == (300, 120)


# --- bounds and lines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "services: {a: {recipe: x, restart: {first: 10m}}}",
            "s.yaml:1:44: services.a.restart.first: expected at most the 5m 00s of most, found 10m 00s",
        ),
        (
            "services: {a: {recipe: x, restart: {most: 5s}}}",
            "s.yaml:1:43: services.a.restart.most: expected at least the 10s of first, found 5s",
        ),
        (
            f"host: {{guard: {{act: 4 GiB}}}}\n{SERVICES}",
            "s.yaml:1:21: host.guard.act: expected more than the floor of 4.0 GiB, found 4.0 GiB",
        ),
        (
            f"host: {{guard: {{floor: 7 GiB}}}}\n{SERVICES}",
            "s.yaml:1:23: host.guard.floor: expected less than the 6.0 GiB of act, found 7.0 GiB",
        ),
        (
            f"host: {{reserve: 5 GiB}}\n{SERVICES}",
            "s.yaml:1:17: host.reserve: expected more than the 6.0 GiB of guard.act, found 5.0 GiB",
        ),
        (
            f"host: {{reserve: 8 GiB, guard: {{act: 9 GiB}}}}\n{SERVICES}",
            "s.yaml:1:37: host.guard.act: expected less than the reserve of 8.0 GiB, found 9.0 GiB",
        ),
    ],
)
def test_bounds_and_lines_that_contradict_each_other_are_refused(text: str, problem: str) -> None:
    assert told(text) == [problem]
    assert problems(text)[0].hint in {LINES, "each wait is twice the one before, from first up to most"}


def test_the_reserve_may_be_the_hosts_and_is_compared_once_that_is_known() -> None:
    host = validate(load(f"host: {{guard: {{act: 9 GiB}}}}\n{SERVICES}", "s.yaml"), Stack).host
    assert host.under(10 * GIB) == []
    (finding,) = host.under(8 * GIB, " of the host's profile")
    assert finding.path == ("guard", "act")
    assert finding.message == "expected less than the reserve of 8.0 GiB of the host's profile, found 9.0 GiB"


def test_contradictions_of_host_services_and_after_are_told_together() -> None:
    text = "host: {guard: {act: 1 GiB}}\nservices:\n  a: {recipe: x, idle: 5m, after: [c], restart: {most: 1s}}\n"
    places = [line.split(": ")[1] for line in told(text)]
    assert places == ["host.guard.act", "services.a.idle", "services.a.after[0]", "services.a.restart.most"]


# --- what follows from the priorities --------------------------------------------------------------------------------


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=12))
def test_the_higher_priority_has_the_lower_score_and_all_are_within_the_bounds(priorities: list[int]) -> None:
    scores = adjusted(priorities)
    in_order = [scores[one] for one in sorted(set(priorities), reverse=True)]
    assert in_order == sorted(set(in_order)), "strictly rising"
    assert in_order[0] == LEAST_ADJUSTED
    assert in_order[-1] == (MOST_ADJUSTED if len(in_order) > 1 else LEAST_ADJUSTED)


# --- in use ----------------------------------------------------------------------------------------------------------

TRIO = """\
services:
  slow: {recipe: 26b-a4b-nvfp4, priority: 5, after: [fast], secrets: [HF_TOKEN, VLLM_API_KEY]}
  fast: {recipe: e4b-nvfp4, priority: 10}
  hand: {recipe: e2b-nvfp4, priority: 7, set: {container.oom-score-adj: 0}}
"""


class Desk:
    """A Spark with a stack's file."""

    def __init__(self, folder: Path) -> None:
        self.spark = FakeSpark(folder)
        self.folder = folder

    def write(self, path: str, text: str) -> str:
        file = self.folder / "recipes" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return str(file)

    def run(self, *arguments: str) -> Done:
        done = self.spark.run(*arguments)
        return Done(done.code, done.out, done.err.replace(f"{self.folder}/recipes/", ""))

    def spec(self, service: str, *options: str) -> dict[str, Any]:
        return self.run("render", service, "--json", *options).expect(0).json


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write("stacks/trio.yaml", TRIO)
    return desk


def test_the_score_follows_from_the_rank_of_the_priority_and_may_be_set_by_hand(desk: Desk) -> None:
    specs = {name: desk.spec(name) for name in ("slow", "fast", "hand", "e4b-nvfp4")}
    assert {name: spec["oom_score_adj"] for name, spec in specs.items()} == {
        "slow": 1000,
        "fast": 500,
        "hand": 0,
        "e4b-nvfp4": None,
    }
    assert desk.spec("fast", "--set", "container.oom-score-adj=-9")["oom_score_adj"] == -9
    desk.write("own.yaml", "extends: e4b-nvfp4\ncontainer: {oom-score-adj: 7}\n")
    desk.write("stacks/mine.yaml", "services: {mine: {recipe: own}}\n")
    assert desk.spec("mine")["oom_score_adj"] == 7


def test_another_service_in_a_stack_changes_no_digest(desk: Desk) -> None:
    def digest(service: str, *options: str) -> str:
        return dict(desk.spec(service, *options)["labels"])["sparkctl.spec"]

    before, by_hand = digest("slow"), digest("hand")
    desk.write("stacks/trio.yaml", f"{TRIO}  least: {{recipe: e4b-fp8, priority: 1}}\n")
    assert desk.spec("slow")["oom_score_adj"] == 833
    assert digest("slow") == before
    assert (digest("hand"), digest("hand", "--set", "container.oom-score-adj=1") != by_hand) == (by_hand, True)


def test_secrets_of_a_service_are_laid_over_those_of_its_recipe_and_recorded(desk: Desk) -> None:
    desk.write("own.yaml", "extends: e4b-nvfp4\nsecrets: [MINE_KEY, HF_TOKEN]\n")
    desk.write("stacks/s.yaml", "services:\n  with-more:\n    recipe: own\n    secrets: [HF_TOKEN, OTHER_KEY]\n")
    shown = desk.run("recipes", "show", "s", "--json").expect(0).json["services"]["with-more"]
    assert shown["recipe"]["secrets"] == ["MINE_KEY", "HF_TOKEN", "OTHER_KEY"]
    assert shown["origins"]["secrets[2]"].endswith("stacks/s.yaml:4:25")
    labels = dict(desk.spec("with-more")["labels"])
    recorded = json.loads(labels["sparkctl.laid-over"])
    assert recorded["overrides"] == ['secrets+=["HF_TOKEN", "OTHER_KEY"]']
    # Read again, as whoever finds the container does, it means the same.
    again = desk.run("recipes", "show", "own", "--json", "--set", recorded["overrides"][0]).expect(0).json
    assert again["recipe"]["secrets"] == shown["recipe"]["secrets"]


def test_a_list_may_be_added_to_by_set(desk: Desk) -> None:
    shown = desk.run(
        "recipes", "show", "e4b-nvfp4", "--json", "--set", "checks+=[text]", "--set", "checks+=[json, text]"
    )
    assert shown.expect(0).json["recipe"]["checks"] == ["text", "json"]


def test_the_names_of_a_stacks_secrets_are_known_however_they_are_written() -> None:
    flow = "services:\n  a: {recipe: x, secrets: [HF_TOKEN, OTHER_KEY]}\n"
    block = "services:\n  a:\n    secrets:\n      - THIRD_KEY\n"
    assert secret_names.in_text(flow) == {"HF_TOKEN", "OTHER_KEY"}
    assert secret_names.in_text(block) == {"THIRD_KEY"}


def test_a_value_in_place_of_a_secrets_name_is_not_shown() -> None:
    (problem,) = problems("services:\n  a: {recipe: x, secrets: [hf_sEcReT]}\n")
    assert "hf_sEcReT" not in str(problem)
    assert "expected the name of a variable in capitals" in problem.message


def test_what_would_start_beside_the_agent_is_refused_wherever_a_stack_is_read(desk: Desk) -> None:
    text = "services:\n  aa:\n    recipe: e4b-nvfp4\n    set: {container.restart: unless-stopped}\n"
    desk.write("stacks/own.yaml", text)
    desk.write("always.yaml", "extends: e4b-fp8\ncontainer: {restart: always}\n")
    desk.write("stacks/theirs.yaml", "services:\n  bb: {recipe: always, priority: 1}\n")
    own = "stacks/own.yaml:4:30: aa: container.restart is unless-stopped: Docker would start it again, unplanned"
    theirs = "stacks/theirs.yaml:2:16: bb: container.restart is always (always.yaml:2:22): Docker would start it again"
    for words in (["recipes", "lint"], ["plan"], ["up"], ["render"], ["size"]):
        assert own in desk.run(*words, "own" if words[0] != "render" else "aa").expect(2).err, words
        assert theirs in desk.run(*words, "theirs" if words[0] != "render" else "bb").expect(2).err, words
    assert "container.restart" in desk.run("plan", "trio", "--set", "container.restart=always").expect(2).err
    assert desk.run("plan", "always").code == 0, "without a stack, nobody else starts it"


def test_lines_above_the_reserve_of_the_host_are_refused_where_the_host_is_known(desk: Desk) -> None:
    file = desk.write(
        "stacks/high.yaml",
        f"host: {{guard: {{act: 12 GiB}}}}\n{SERVICES.replace('a: {recipe: x', 'aa: {recipe: e4b-nvfp4')}",
    )
    told = "stacks/high.yaml:1:21: host.guard.act: expected less than the reserve of 10.0 GiB of the host's profile"
    for words in (["recipes", "lint"], ["plan"], ["up"]):
        assert told in desk.run(*words, file).expect(2).err, words
    assert "guard" not in desk.run("recipes", "lint", "trio").err


def test_the_reserve_of_a_stack_takes_the_place_of_the_hosts(desk: Desk) -> None:
    services = "services: {big: {recipe: 26b-a4b-nvfp4}, less: {recipe: e4b-nvfp4}}\n"
    file = desk.write("stacks/careful.yaml", f"host: {{reserve: 60 GiB}}\n{services}")
    for asked in ("careful", file, "careful:big", "big"):
        plan = desk.run("plan", asked, "--json").json
        assert plan["pool"]["reserve_bytes"] == 60 * GIB, asked
    assert desk.run("plan", "e4b-nvfp4", "--json").json["pool"]["reserve_bytes"] == 10 * GIB
    refused = desk.run("up", "careful:less", "--set", "limits.sequences=900")
    assert "60.0 GiB  reserve" in refused.expect(3).err + refused.out


def test_lint_tells_of_a_whole_stack_at_its_lines(desk: Desk) -> None:
    file = desk.write(
        "stacks/odd.yaml",
        "services:\n"
        "  one: {recipe: e4b-nvfp4}\n"
        "  x: {recipe: 26b-a4b-fp8}\n"
        "  two: {recipe: e4b-nvfp4, set: {serve.port: 8004}}\n"
        "  three: {recipe: e4b-nvpf4}\n"
        "  four: {recipe: e2b-nvfp4, set: {limits.contxt: 5}}\n"
        "  five: {recipe: e4b-fp8}\n",
    )
    err = desk.run("recipes", "lint", file).expect(2).err
    found = [line for line in err.splitlines() if "stacks/odd.yaml:" in line and not line.startswith("reaches")]
    assert found == [
        "warning: stacks/odd.yaml:4:17: one and two are both asked for by the name gemma-4-e4b",
        "warning: stacks/odd.yaml:7:18: one and five are both asked for by the name gemma-4-e4b",
        "warning: stacks/odd.yaml:7:18: two and five are both asked for by the name gemma-4-e4b",
        "error: stacks/odd.yaml:3:3: 'x' cannot be the name of a container",
        "stacks/odd.yaml:5:19: no recipe 'e4b-nvpf4'",
        "stacks/odd.yaml:6:35: unknown key 'contxt' in limits",
        "stacks/odd.yaml:7:18: one and five both listen at 127.0.0.1:8003",
    ]


def test_an_override_whose_path_is_none_is_told_at_its_line() -> None:
    assert told("services:\n  a: {recipe: x, set: {limits..context: 1}}\n") == [
        "s.yaml:2:24: services.a.set: expected a path such as limits.context, found 'limits..context'"
    ]


TWO = """\
services:
  slow: {recipe: e4b-fp8, priority: 5, after: [fast]}
  fast: {recipe: e4b-nvfp4, set: {serve.port: 8009}}
"""


def test_up_starts_what_another_comes_after_only_when_that_is_ready(desk: Desk) -> None:
    http = desk.spark.http = FakeHttp(serving={"127.0.0.1:8003": "gemma-4-e4b"})
    desk.spark.clock.dies = lambda: http.serving.update({"127.0.0.1:8009": "gemma-4-e4b"})  # not before somebody waits
    asked_before: list[str] = []

    def starts(container: Container) -> Container:
        asked_before.extend(http.asked)
        return container

    desk.spark.engine.on_start["slow"] = starts
    desk.write("stacks/two.yaml", TWO)
    assert [step["service"] for step in desk.run("plan", "two", "--json").expect(0).json["steps"]] == ["fast", "slow"]
    err = desk.run("up", "two").expect(0).err
    assert [line for line in err.splitlines() if "ready at" in line] == [
        "fast: ready at http://127.0.0.1:8009",
        "slow: ready at http://127.0.0.1:8003",
    ]
    assert "http://127.0.0.1:8009/v1/completions" in asked_before, (
        "both would have room together, and wait all the same"
    )


def test_up_starts_nothing_that_comes_after_what_failed(desk: Desk) -> None:
    desk.spark.engine.on_start["fast"] = dies()
    desk.write("stacks/two.yaml", TWO)
    err = desk.run("up", "two").expect(5).err
    assert "not started: slow" in err


def test_a_stack_is_shown_whole_and_in_the_order_in_which_it_starts(desk: Desk) -> None:
    out = desk.run("recipes", "show", "trio").expect(0).out
    headings = [line for line in out.splitlines() if line.endswith(":")]
    assert headings == [
        "trio, a stack of fast, hand, slow:",
        "fast, from e4b-nvfp4:",
        "hand, from e2b-nvfp4:",
        "slow, from 26b-a4b-nvfp4:",
    ]
    rows = [line.split() for line in out.splitlines()]
    file = f"{desk.folder}/recipes/stacks/trio.yaml"
    assert ["services.slow.after[0]", "fast", f"{file}:2:54"] in rows
    assert ["container.oom-score-adj", "0", f"{file}:4:73"] in rows
    score = ["follows", "from", "its", "priority", "in", "the", "stack", "trio"]
    assert ["container.oom-score-adj", "1000", *score] in rows
    shown = desk.run("recipes", "show", "trio", "--json").expect(0).json
    assert list(shown) == ["name", "path", "stack", "origins", "order", "services"]
    assert (shown["order"], list(shown["services"])) == (["fast", "hand", "slow"], ["fast", "hand", "slow"])
    assert shown["stack"]["services"]["fast"]["restart"]["most"] == 300
    assert shown["origins"]["services.hand.recipe"] == f"{file}:4:18"
    assert not any(".set." in path for path in shown["origins"])
    assert shown["services"]["hand"]["origins"]["container.oom-score-adj"] == f"{file}:4:73"


# --- the gateway -----------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_with_names_and_routes_is_told_at_once_and_at_its_place() -> None:
    text = (
        "services:\n"
        "  one: {recipe: x, names: [one, two, fast], defaults: {t: 1, k: {a: 1}}, force: {t: 0, k: {b: 1}}}\n"
        "  two: {recipe: x, names: [fast, auto]}\n"
        "routes:\n"
        "  auto: {first: on, then: fast, when: [busy]}\n"
        "  two: {first: one, then: one, when: [asked, asked], waiting: 2}\n"
        "gateway: {certificate-key: /key.pem}\n"
    )
    assert told(text) == [
        "s.yaml:2:28: services.one.names[0]: one is asked for by its own name already",
        "s.yaml:2:33: services.one.names[1]: two is another service of this stack",
        "s.yaml:2:59: services.one.defaults.t: t is forced, so that its default is never used",
        "s.yaml:3:28: services.two.names[0]: fast means the service one already",
        "s.yaml:5:3: routes.auto: auto means the service two already",
        "s.yaml:5:17: routes.auto.first: on is no service of this stack",
        "s.yaml:5:27: routes.auto.then: fast is no service of this stack",
        "s.yaml:6:3: routes.two: two means the service two already",
        "s.yaml:6:27: routes.two.then: one is the first one already",
        "s.yaml:6:46: routes.two.when[1]: asked is written twice",
        "s.yaml:6:63: routes.two.waiting: it is for the reason busy, which `when` has not",
        "s.yaml:7:28: gateway.certificate-key: there is no certificate that it belongs to",
    ]
    hints = {one.place.column: one.hint for one in problems(text) if one.place is not None and one.place.line == 5}
    assert hints == {3: "give the route another name", 17: "did you mean one?", 27: "did you mean one?"}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("routes: {r: {first: a, then: a, when: []}}", "expected at least 1 of them, found a list"),
        ("routes: {r: {first: a, then: a, when: [contxt]}}", "found the text 'contxt'"),
        ("routes: {r: {first: a}}", "then"),
        ("routes: {r s: {first: a, then: b}}", "expected a name without spaces"),
        ("gateway: {port: 0}", "expected at least 1, found the number 0"),
        ("gateway: {bind: spark}", "expected an IP address"),
        ('gateway: {certificate: ""}', "expected the path of a file, found ''"),
        ('gateway: {certificate: "a\\nb"}', "expected the path of a file"),
    ],
)
def test_a_part_of_the_gateway_that_cannot_be_is_told(part: str, message: str) -> None:
    assert any(message in one for one in told(f"{SERVICES}{part}\n"))


@pytest.mark.parametrize("key", ["model", "stream", "messages", "prompt", "input"])
@pytest.mark.parametrize("where", ["defaults", "force"])
def test_what_the_client_asks_is_laid_over_by_nobody(where: str, key: str) -> None:
    (one,) = told(f"services:\n  a: {{recipe: x, {where}: {{{key}: 1}}}}\n")
    assert f"{key} is not the stack's to set" in one


def test_a_number_that_json_has_not_is_laid_into_no_body() -> None:
    assert "JSON has no number inf" in told("services:\n  a: {recipe: x, force: {k: [{n: 1e999}]}}\n")[0]


def test_the_shipped_pair_has_a_route(tmp_path: Path) -> None:
    shown = FakeSpark(tmp_path).run("recipes", "show", "executor", "--json").json["stack"]
    auto = shown["routes"]["auto"]
    assert (auto["first"], auto["then"], auto["start"], len(auto["when"])) == ("e4b-nvfp4", "26b-a4b-nvfp4", False, 8)
