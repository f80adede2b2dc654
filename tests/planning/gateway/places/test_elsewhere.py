"""Services of other hosts among a gateway's names: equal ones share a name, and nothing here changes its meaning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.planning.box.declared import DeclaredRoute
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.names import NamedService, NameTable, models, table
from sparkctl.planning.gateway.places.elsewhere import FarNamed, together

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


def test_an_equal_service_gets_requests_by_each_name_of_the_one_here() -> None:
    found = together(HERE, RECIPES, [EQUAL])
    assert found.replicas == {"coder": ("coder", "coder@b")}
    for name in ("coder", "small", "tiny"):
        assert found.services_of(name) == ("coder",)
    alone = found.named("coder@b")
    assert alone is not None
    assert (alone.service, alone.defaults) == ("coder@b", {"temperature": 0.7})


def test_a_service_of_the_same_name_and_another_recipe_is_another_service() -> None:
    found = together(HERE, RECIPES, [replace_recipe(EQUAL, "big-recipe")])
    assert found.services_of("coder") == ("coder",)
    assert found.replicas == {"coder@b": ("coder@b",)}
    assert found.services_of("coder@b") == ("coder@b",)


def test_what_is_elsewhere_alone_is_asked_by_its_name_and_by_its_servers() -> None:
    one = FarNamed("b", "writer", "w", ("prose",))
    found = together(HERE, RECIPES, [one, one._replace(host="c")])
    assert found.replicas == {"writer": ("writer@b", "writer@c")}
    assert found.services_of("writer") == found.services_of("prose") == ("writer",)


def test_a_name_of_two_different_servers_elsewhere_means_neither() -> None:
    found = together(HERE, RECIPES, [FarNamed("b", "x", "r1", ("prose",)), FarNamed("c", "y", "r2", ("prose",))])
    assert found.find("prose") is None
    assert "x and y are both served as 'prose'" in found.why_not("prose")


def test_a_service_whose_labels_say_little_is_equal_to_none() -> None:
    found = together(NameTable(), {}, [FarNamed("b", "coder"), FarNamed("c", "coder")])
    assert found.replicas == {"coder": ("coder@b",), "coder@c": ("coder@c",)}


def test_the_list_has_each_service_once_and_says_where_one_of_them_is_ready() -> None:
    found = together(HERE, RECIPES, [EQUAL, FarNamed("b", "writer", "w", ("prose",), 1024)])
    listed = models(found, {"coder": DeskState.OFF, "coder@b": DeskState.READY, "writer@b": DeskState.STARTING}, 1)
    rows = {row["id"]: row["status"]["value"] for row in listed["data"]}  # type: ignore[attr-defined]
    assert rows == {"coder": "loaded", "other": "unloaded", "writer": "loading"}


def test_a_route_whose_services_are_elsewhere_is_one_as_soon_as_both_are_seen() -> None:
    route = DeclaredRoute("auto", "coder", "writer", ("down",), start=False, waiting=4)
    writer = FarNamed("b", "writer", "w", ("prose",))
    assert together(HERE, RECIPES, [], [route]).find("auto") is None
    found = together(HERE, RECIPES, [writer], [route])
    assert found.find("auto") == found.routes["auto"] == route
    taken = replace_recipe(writer, "x")._replace(name="auto")
    assert together(HERE, RECIPES, [writer, taken], [route]).services_of("auto") == ("auto",)


@given(st.lists(FAR, max_size=6, unique_by=lambda one: one.service))
def test_names_here_keep_their_meaning_and_each_service_has_one_place(far: list[FarNamed]) -> None:
    found = together(HERE, RECIPES, far)
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
