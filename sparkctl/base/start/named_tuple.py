"""``typing.NamedTuple``, made in a tenth of the time: a command makes some 150 of them while it imports.

Typing compiles the type of each field, which is a text here, and ``collections`` compiles a constructor for each class.
Here a type is compiled when somebody asks for it (``typing.get_type_hints``), and one constructor for each number of
fields: every class has a copy of it, with its own names in it. For the type checker this is typing's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple"]

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType
    from typing import NamedTuple, Self
else:
    from collections import _tuplegetter
    from functools import cache
    from types import FunctionType

    _GLOBALS = {"_new": tuple.__new__}

    @cache
    def _constructor(fields: int) -> CodeType:
        """Return the code of ``__new__`` of so many fields, under names that no class has."""
        names = "".join(f"_{number}, " for number in range(fields))
        source = f"lambda _cls, {names}: _new(_cls, ({names}))"
        return eval(source, _GLOBALS).__code__  # noqa: S307  (the line above is all that it can be)

    class _OfFields(tuple):
        """What all have in common."""

        __slots__ = ()
        _fields = ()

        @classmethod
        def _make(cls, values: Iterable[object]) -> Self:
            """Return an instance with these values, as many as there are fields."""
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"expected {len(cls._fields)} values, found {len(made)}")
            return made

        def _replace(self, /, **values: object) -> Self:
            """Return an instance in which some fields have other values."""
            made = self._make(map(values.pop, self._fields, self))
            if values:
                raise ValueError(f"{type(self).__name__} has no fields {list(values)}")
            return made

        __replace__ = _replace

        def _asdict(self) -> dict[str, Any]:
            """Return the values by their fields."""
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self) -> str:
            values = ", ".join(f"{field}={value!r}" for field, value in self._asdict().items())
            return f"{type(self).__name__}({values})"

        def __getnewargs__(self) -> tuple[object, ...]:
            return tuple(self)

    class _Maker(type):
        """Makes a tuple of what is written as a class below ``NamedTuple``."""

        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            fields = tuple(namespace.get("__annotations__", ()))
            defaults = {field: namespace[field] for field in fields if field in namespace}
            if tuple(defaults) != fields[len(fields) - len(defaults) :]:
                raise TypeError(f"{name}: a field without a default stands after one with a default")
            code = _constructor(len(fields)).replace(co_name="__new__", co_varnames=("_cls", *fields))
            new = FunctionType(code, _GLOBALS, "__new__", tuple(defaults.values()))
            new.__qualname__ = f"{name}.__new__"
            made = {field: _tuplegetter(number, f"Field {number}.") for number, field in enumerate(fields)}
            made |= {"_fields": fields, "_field_defaults": defaults, "__match_args__": fields, "__slots__": ()}
            return type(name, (_OfFields, *bases[1:]), {**namespace, **made, "__new__": new})

    NamedTuple = type.__new__(_Maker, "NamedTuple", (), {})
