"""One host's part of a stack, and a stack of recipes that a command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.hosts.part import PartCatalog, StackPart, part_of, stack_of_recipes, word_of
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from pathlib import Path

MORE = "routes: {auto: {first: sa, then: sb}}\ngateway: {port: 8090}\n"


def catalog(folder: Path) -> Catalog:
    return Catalog([Root(folder, "given"), Root(shipped_root(), "shipped")])


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    found = Fleet(tmp_path)
    found.stack("a; b after: [sa]; c after: [sa, sb]", more=MORE)
    return found


def test_a_part_has_some_services_and_what_they_come_after_there(fleet: Fleet) -> None:
    whole = catalog(fleet.folder).stack("fleet")
    part = part_of(whole, StackPart(frozenset({"sb", "sc"})))
    assert [one.service for one in part.members] == ["sb", "sc"]
    assert [one.after for one in part.members] == [(), ("sb",)]
    assert {name: one.after for name, one in part.stack.services.items()} == {"sb": (), "sc": ("sb",)}
    assert (part.stack.hosts, part.stack.routes, part.stack.gateway) == ((), {}, None)
    assert part.elsewhere == {}
    with_gateway = part_of(whole, StackPart(frozenset({"sc"}), gateway=True))
    assert (list(with_gateway.stack.routes), with_gateway.stack.gateway) == (["auto"], whole.stack.gateway)
    assert with_gateway.elsewhere == {name: whole.stack.services[name] for name in ("sa", "sb")}


def test_a_catalog_has_that_part_under_the_name_of_the_stack_alone(fleet: Fleet) -> None:
    whole = catalog(fleet.folder)
    loaded = whole.stack("fleet")
    part = PartCatalog(whole, loaded, StackPart(frozenset({"sa"})))
    assert [one.service for one in part.members("fleet")] == ["sa"]
    assert part.knows_stack("fleet")
    assert part.knows_stack("pair")
    assert [one.service for one in part.stack("pair").members] == [one.service for one in whole.stack("pair").members]
    assert PartCatalog(whole, loaded, StackPart(frozenset())).members("fleet") == ()


def test_a_stack_is_found_again_by_what_it_was_named_by(fleet: Fleet) -> None:
    whole = catalog(fleet.folder)
    file = fleet.folder / "recipes/stacks/fleet.yaml"
    assert word_of(whole.stack("fleet")) == "fleet"
    assert word_of(whole.stack(str(file))) == str(file)


def test_recipes_that_are_named_are_services_for_all_hosts(fleet: Fleet) -> None:
    whole = catalog(fleet.folder)
    found = stack_of_recipes(whole, ["ra", str(fleet.folder / "recipes/rb.yaml")], ["one", "two"])
    assert found.stack.hosts == ("one", "two")
    assert [one.service for one in found.members] == ["ra", "rb"]
    part = PartCatalog(whole, found, StackPart(frozenset({"ra"})))
    assert [one.recipe for one in part.members(word_of(found))] == ["ra"]
    with pytest.raises(InputError, match="no recipe or stack 'nobody'"):
        stack_of_recipes(whole, ["nobody"], ["one"])
