"""Names at a gateway: what each means, what is said of one that means nothing, and the list of models."""

from __future__ import annotations

from sparkctl.planning.box.declared import DeclaredRoute
from sparkctl.planning.gateway.body import BodyChanges
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.names import NamedService, model, models, table

EXECUTOR = NamedService("executor", ("gemma-4-e4b", "e4b"), ("gpt-4o-mini",), 16384, defaults={"temperature": 0.7})
REASONER = NamedService("reasoner", ("gemma-4", "e4b"), (), 65536)
AUTO = DeclaredRoute("auto", "executor", "reasoner", ("context", "asked"), start=False, waiting=4)
TABLE = table([EXECUTOR, REASONER], [AUTO])


def test_a_service_is_asked_for_by_each_of_its_names() -> None:
    assert [TABLE.services_of(name) for name in ("executor", "gpt-4o-mini", "gemma-4-e4b")] == [("executor",)] * 3
    assert TABLE.services_of("gemma-4") == ("reasoner",)
    assert TABLE.services_of("auto") == ("executor", "reasoner")
    assert TABLE.services_of("GPT-4o-mini") == ()


def test_a_name_that_two_servers_have_means_neither() -> None:
    assert TABLE.find("e4b") is None
    assert TABLE.why_not("e4b") == "executor and reasoner are both served as 'e4b': ask by the name of the service"


def test_a_service_comes_before_a_name_that_anothers_server_has() -> None:
    found = table([NamedService("a", ("b",)), NamedService("b", ("x",))])
    assert found.services_of("b") == ("b",)


def test_a_route_to_a_service_that_there_is_not_is_left_out() -> None:
    assert table([EXECUTOR], [AUTO]).services_of("auto") == ()


def test_what_means_nothing_is_answered_with_the_nearest_names_first() -> None:
    told = "the model 'gpt-4o' is none of this gateway; there are: gpt-4o-mini, "
    assert TABLE.why_not("gpt-4o").startswith(told)
    assert TABLE.nearest("reasonr")[0] == "reasoner"


def test_a_key_is_not_told_names_that_it_may_not_use() -> None:
    assert TABLE.why_not("x", {"auto"}.__contains__) == "the model 'x' is none of this gateway; there are: auto"
    assert table([]).why_not("x") == "the model 'x' is none of this gateway; there is none"


def test_of_many_names_some_are_told() -> None:
    many = table([NamedService(f"service-{number}", ()) for number in range(30)])
    assert many.why_not("service-7").endswith(" and 20 more")


def test_a_name_that_the_server_has_stays_in_the_body() -> None:
    assert EXECUTOR.changes("e4b", "/v1/completions").model == ""
    assert EXECUTOR.changes("auto", "/v1/completions") == BodyChanges("gemma-4-e4b", {"temperature": 0.7}, {})


def test_the_list_has_what_could_run_with_its_state_s14() -> None:
    found = models(TABLE, {"executor": DeskState.READY, "reasoner": DeskState.STARTING}, 1_700_000_000)
    common = {"object": "model", "created": 1_700_000_000, "owned_by": "sparkctl"}
    small = {"max_model_len": 16384, "context_length": 16384, "meta": {"n_ctx": 16384}}
    large = {"max_model_len": 65536, "context_length": 65536, "meta": {"n_ctx": 65536}}
    names = ["gpt-4o-mini", "gemma-4-e4b"]
    executor = {"id": "executor", **common, **small, "status": {"value": "loaded"}, "aliases": names}
    reasoner = {"id": "reasoner", **common, **large, "status": {"value": "loading"}, "aliases": ["gemma-4"]}
    auto = {"id": "auto", **common, **large, "status": {"value": "loaded"}, "aliases": []}
    assert found == {"object": "list", "data": [executor, reasoner, auto]}


def test_what_a_key_may_not_use_is_not_in_its_list_and_what_is_not_seen_is_unloaded() -> None:
    (found,) = models(TABLE, {}, 0, {"reasoner"}.__contains__)["data"]
    assert (found["id"], found["status"], found["aliases"]) == ("reasoner", {"value": "unloaded"}, [])


def test_an_unknown_context_is_left_out() -> None:
    (found,) = models(table([NamedService("a", ())]), {}, 0)["data"]
    assert "context_length" not in found


def test_one_model_is_listed_by_any_name_that_the_key_may_use() -> None:
    listed = models(TABLE, {}, 0)
    assert [model(listed, name)["id"] for name in ("executor", "gpt-4o-mini", "auto")] == [  # type: ignore[index]
        *("executor", "gpt-4o-mini", "auto"),
    ]
    assert model(listed, "nope") is None
    (only,) = models(TABLE, {}, 0, {"gpt-4o-mini"}.__contains__)["data"]  # type: ignore[misc, attr-defined]
    assert (only["id"], only["aliases"]) == ("gpt-4o-mini", [])


def test_a_name_without_end_costs_no_more_than_a_long_one() -> None:
    assert len(TABLE.why_not("a" * 10_000_000)) < 1000
