"""Services of other hosts among a gateway's names: equal ones share a name, and nothing here changes its meaning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.planning.box.declared import DeclaredRoute
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.names import NamedService, NameTable, models, table
from sparkctl.planning.gateway.places.elsewhere import DeclaredElsewhere, FarNamed, together, unseen

HERE = table(
    [NamedService("coder", ("tiny",), ("small",), 4096, 2, {"temperature": 0.7}), NamedService("other", ("b",))]
)
RECIPES = {"coder": "tiny-recipe", "other": "b-recipe"}
EQUAL = FarNamed("b", "coder", "tiny-recipe", ("tiny",), 4096, 2)
FAR = st.builds(
    FarNamed,
    st.sampled_from("bc"),
    st.sampled_from(("coder", "other", "third")),
    st.sampled_from(("tiny-recipe", "b-recipe", "")),
    st.sampled_from(((), ("tiny",), ("b", "b2"), ("c",))),
)


def said(**given: object) -> DeclaredElsewhere:
    return DeclaredElsewhere(RECIPES, **given)  # type: ignore[arg-type]


def with_(*far: FarNamed, **given: object) -> NameTable:
    return together(HERE, far, said(**given))


def test_an_equal_service_gets_requests_by_each_name_of_the_one_here() -> None:
    found = with_(EQUAL)
    assert found.replicas == {"coder": ("coder", "coder@b")}
    for name in ("coder", "small", "tiny"):
        assert found.services_of(name) == ("coder",)
    alone = found.named("coder@b")
    assert alone is not None
    assert (alone.service, alone.defaults) == ("coder@b", {"temperature": 0.7})


def test_a_service_of_the_same_name_and_another_recipe_is_another_service() -> None:
    found = with_(replace_recipe(EQUAL, "big-recipe"))
    assert found.services_of("coder") == ("coder",)
    assert found.replicas == {"coder@b": ("coder@b",)}
    assert found.services_of("coder@b") == ("coder@b",)


def test_what_is_elsewhere_alone_is_asked_by_its_name_and_by_its_servers() -> None:
    one = FarNamed("b", "writer", "w", ("prose",))
    found = with_(one, one._replace(host="c"))
    assert found.replicas == {"writer": ("writer@b", "writer@c")}
    assert found.services_of("writer") == found.services_of("prose") == ("writer",)


def test_a_name_of_two_different_servers_elsewhere_means_neither() -> None:
    found = with_(FarNamed("b", "x", "r1", ("prose",)), FarNamed("c", "y", "r2", ("prose",)))
    assert found.find("prose") is None
    assert "x and y are both served as 'prose'" in found.why_not("prose")


def test_a_service_whose_labels_say_little_is_equal_to_none() -> None:
    found = together(NameTable(), [FarNamed("b", "coder"), FarNamed("c", "coder")], DeclaredElsewhere())
    assert found.replicas == {"coder": ("coder@b",), "coder@c": ("coder@c",)}


def test_the_list_has_each_service_once_and_says_where_one_of_them_is_ready() -> None:
    found = with_(EQUAL, FarNamed("b", "writer", "w", ("prose",), 1024))
    listed = models(found, {"coder": DeskState.OFF, "coder@b": DeskState.READY, "writer@b": DeskState.STARTING}, 1)
    rows = {row["id"]: row["status"]["value"] for row in listed["data"]}  # type: ignore[attr-defined]
    assert rows == {"coder": "loaded", "other": "unloaded", "writer": "loading"}


def test_a_route_whose_services_are_elsewhere_is_one_as_soon_as_both_are_seen() -> None:
    route = DeclaredRoute("auto", "coder", "writer", ("down",), start=False, waiting=4)
    writer = FarNamed("b", "writer", "w", ("prose",))
    assert with_(routes=(route,)).find("auto") is None
    found = with_(writer, routes=(route,))
    assert found.find("auto") == found.routes["auto"] == route
    taken = replace_recipe(writer, "x")._replace(name="auto")
    assert with_(writer, taken, routes=(route,)).services_of("auto") == ("auto",)


def test_what_the_stack_says_of_a_service_elsewhere_holds_for_it() -> None:
    writer = NamedService("writer", (), ("author",), defaults={"top_p": 0.9})
    found = with_(FarNamed("b", "writer", "w", ("prose",), 1024), services=(writer,))
    assert found.services_of("author") == ("writer",)
    assert (found.services["writer"].defaults, found.services["writer"].context) == ({"top_p": 0.9}, 1024)
    assert unseen(found, said(services=(writer,))) == []


def test_a_service_that_no_host_has_is_known_by_its_names() -> None:
    writer = NamedService("writer", (), ("author",))
    route = DeclaredRoute("auto", "coder", "writer", ("down",), start=False, waiting=4)
    found = with_(services=(writer,), routes=(route,))
    assert found.services_of("author") == ("writer",)
    assert unseen(found, said(services=(writer,))) == ["writer"]
    assert found.find("auto") == route


def test_an_equal_service_of_another_name_is_asked_by_both_names_and_a_route_goes_to_either() -> None:
    second = EQUAL._replace(name="coder-2")
    route = DeclaredRoute("auto", "other", "coder-2", ("down",), start=False, waiting=4)
    found = with_(second, services=(NamedService("coder-2", (), ("spare",)),), routes=(route,))
    for name in ("coder", "coder-2", "spare"):
        assert found.services_of(name) == ("coder",)
    assert found.replicas == {"coder": ("coder", "coder-2@b")}
    assert found.routes["auto"].then == "coder"


@given(st.lists(FAR, max_size=6, unique_by=lambda one: one.service))
def test_names_here_keep_their_meaning_and_each_service_has_one_place(far: list[FarNamed]) -> None:
    found = with_(*far)
    for name, meant in HERE.meant.items():
        assert found.find(name) == meant
    assert sorted(one for those in found.replicas.values() for one in those if "@" in one) == sorted(
        one.service for one in far
    )
    for one in far:
        assert found.named(one.service) is not None
    for name in found.meant:
        assert set(found.services_of(name)) <= found.services.keys() | {one.service for one in far}
    assert not set(found.shared) & set(found.meant)


def replace_recipe(one: FarNamed, recipe: str) -> FarNamed:
    return one._replace(recipe=recipe)
