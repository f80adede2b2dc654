"""Named tuples that are made quickly are what typing makes."""

from __future__ import annotations

import copy
import pickle
import typing
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sparkctl.base.start.named_tuple import NamedTuple

T = TypeVar("T")


class Ours(NamedTuple):
    """One."""

    name: str
    count: int = 1
    parts: tuple[str, ...] = ()

    @property
    def double(self) -> int:
        """Twice the count."""
        return 2 * self.count


class Theirs(typing.NamedTuple):
    """One."""

    name: str
    count: int = 1
    parts: tuple[str, ...] = ()


class Of(NamedTuple, Generic[T]):
    value: T


class Nothing(NamedTuple):
    pass


@given(some.text(), some.integers(), some.lists(some.text()).map(tuple))
def test_it_is_what_typing_makes(name: str, count: int, parts: tuple[str, ...]) -> None:
    ours, theirs = Ours(name, parts=parts, count=count), Theirs(name, parts=parts, count=count)
    assert ours == theirs == (name, count, parts)
    assert hash(ours) == hash(theirs)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert ours._asdict() == theirs._asdict()
    assert ours._replace(count=0) == theirs._replace(count=0)
    assert Ours._make(ours) == ours
    assert pickle.loads(pickle.dumps(ours)) == copy.deepcopy(ours) == ours  # noqa: S301  (what was dumped here)
    assert (ours.name, ours.count, ours.parts, ours.double) == (name, count, parts, 2 * count)
    match ours:
        case Ours(first, second):
            assert (first, second) == (name, count)


def test_its_class_says_what_typings_says() -> None:
    for name in ("_fields", "_field_defaults", "__match_args__", "__doc__", "__module__"):
        assert getattr(Ours, name) == getattr(Theirs, name), name
    assert typing.get_type_hints(Ours) == typing.get_type_hints(Theirs)
    assert not hasattr(Ours("one"), "__dict__")
    assert Nothing() == ()
    assert Of[int](1).value == 1
    assert Of.__orig_bases__ == (NamedTuple, Generic[T])  # type: ignore[attr-defined]


def test_what_is_wrong_is_refused_in_the_words_of_python() -> None:
    wrong: Any = Ours
    with pytest.raises(TypeError, match=r"Ours.__new__\(\) missing 1 required positional argument: 'name'"):
        wrong()
    with pytest.raises(TypeError, match=r"Ours.__new__\(\) got an unexpected keyword argument 'size'"):
        wrong("one", size=1)
    with pytest.raises(ValueError, match="Ours has no fields"):
        wrong("one")._replace(size=1)
    with pytest.raises(TypeError, match="expected 3 values, found 1"):
        wrong._make(["one"])
    with pytest.raises(AttributeError):
        wrong("one").name = "two"
    with pytest.raises(TypeError, match="without a default"):
        type(NamedTuple)("Wrong", (NamedTuple,), {"__annotations__": {"one": "int", "two": "int"}, "one": 1})
