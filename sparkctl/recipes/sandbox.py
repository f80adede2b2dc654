"""The Jinja environment of templates: what they may use, and a bound on what one render may do.

Jinja's own sandbox keeps templates away from Python's internals and bounds nothing. Here everything that can repeat or
grow (loops, macros, includes, filters, operators, literals) draws on one budget of steps and one limit of size, so
that any template ends soon. Names are allowed one by one: what is not listed below does not exist for a template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from itertools import islice
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jinja2 import StrictUndefined, Template, nodes, pass_context
from jinja2.compiler import CodeGenerator
from jinja2.environment import TemplateModule
from jinja2.exceptions import SecurityError, TemplateAssertionError, TemplateRuntimeError
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from sparkctl.world.docker_run.spelling import csv_join

if TYPE_CHECKING:
    from jinja2 import BaseLoader, Undefined
    from jinja2.compiler import Frame
    from jinja2.runtime import Context

MAX_STEPS: Final = 100_000
"""Steps of one render; the shipped templates take some two thousand. All of them take less than two seconds."""
CHARACTERS_A_STEP: Final = 16
ITEMS_A_STEP: Final = 4
"""What may be made or looked at for one step: so that all steps together make less than 64 MB."""
MAX_NODES: Final = 10_000
"""Parts of one file: outputs, names, operators. The shipped ones have up to 144, and compiling takes 4 KB for each."""
MAX_BITS: Final = 4096
"""Of a whole number: some 1,200 digits. Division of long ones takes the square of their length."""
MAX_SIZE: Final = 131_072
"""Characters and items of one value: Linux takes no longer word (MAX_ARG_STRLEN, linux/binfmts.h)."""

_JINJA_FILTERS: Final = frozenset(
    """abs count d default dictsort first float int items last length list lower map max min reject rejectattr replace
    select selectattr sort trim unique upper""".split()  # noqa: SIM905  (a list of names, for people)
)
_TESTS: Final = frozenset(
    """boolean defined divisibleby eq equalto even false float ge gt in integer iterable le lt mapping ne none number
    odd sequence string true undefined == != > >= < <=""".split()  # noqa: SIM905  (as above)
)
FILTERS: Final = _JINJA_FILTERS | {"tojson", "csv", "join"}
_METHODS: Final = {
    str: frozenset(
        {
            "endswith",
            "lower",
            "lstrip",
            "removeprefix",
            "removesuffix",
            "rstrip",
            "split",
            "startswith",
            "strip",
            "upper",
        }
    ),
    dict: frozenset({"get", "items", "keys", "values"}),
    LoopContext: frozenset(
        {"cycle", "depth", "first", "index", "index0", "last", "length", "nextitem", "previtem", "revindex"}
    ),
}
_NODES: Final = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock),
    *(nodes.With, nodes.Include, nodes.Import, nodes.FromImport, nodes.Macro, nodes.CallBlock, nodes.Name, nodes.NSRef),
    *(nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.CondExpr, nodes.Filter),
    *(nodes.Test, nodes.Call, nodes.Getitem, nodes.Getattr, nodes.Slice, nodes.Concat, nodes.Compare, nodes.Operand),
    *(nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Add, nodes.Sub, nodes.Mod, nodes.Not, nodes.And, nodes.Or),
    *(nodes.Neg, nodes.Pos),
)
MAX_COMPILED: Final = 64
_COMPILED: Final[dict[tuple[object, ...], object]] = {}
"""The code of each text that was compiled: the services of a set are mostly made by one template."""
_REFUSED: Final = {nodes.Pow: "**", nodes.Scope: "autoescape", nodes.FilterBlock: "filter blocks"}
_NUMBERS: Final = (int, float)
PLACEHOLDERS: Final = range(0xF0000, 0x10FFFE)
"""Private-use characters (planes 15 and 16), each of which may stand for a value in rendered text."""


class NotTextError(TemplateRuntimeError):
    """A value that is put out is no text and no number."""


class OutOfBoundsError(TemplateRuntimeError):
    """A template does too much, or makes something too large."""


class Budget:
    """What is left of one render's steps."""

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Take steps off.

        Raises:
            OutOfBoundsError: none are left.
        """
        self.left -= steps
        if self.left < 0:
            raise OutOfBoundsError(f"the template does not end within {MAX_STEPS} steps")


class Weight(NamedTuple):
    """How large a value is with everything in it: ``size`` in characters and items, ``steps`` what making it takes."""

    size: int
    steps: int


def weight(value: object) -> Weight:
    """Return how large a value is.

    Raises:
        OutOfBoundsError: more than MAX_SIZE.
    """
    items = characters = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        items += 1
        if isinstance(one, str | range):
            characters += len(one)
        elif isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, int) and one.bit_length() > MAX_BITS:
            raise OutOfBoundsError("a whole number is too large")
        if items + characters > MAX_SIZE or len(waiting) > MAX_SIZE:
            raise OutOfBoundsError(f"a value is larger than {MAX_SIZE} characters")
    return Weight(items + characters, 1 + items // ITEMS_A_STEP + characters // CHARACTERS_A_STEP)


def as_text(value: object) -> str:
    """Return what is written for a value.

    Raises:
        NotTextError: it is no text and no number.
    """
    if isinstance(value, _Undefined):
        str(value)  # raises, with the name of what is undefined
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise NotTextError(f"expected text or a number, found {_kind(value)}")
    return str(value)


def _kind(value: object) -> str:
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", dict: "a map", type(None): "null"}
    return names.get(type(value)) or (
        "a list" if isinstance(value, list | tuple | range) else type(value).__name__.lower()
    )


def _to_json(value: object) -> str:
    # Jinja's own writes < > & and ' as escapes, for the sake of HTML.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _join(values: Iterable[object], between: str = "") -> str:
    return between.join(as_text(value) for value in values)


def _csv(values: Iterable[object]) -> str:
    return csv_join(as_text(value) for value in values)


class _Undefined(StrictUndefined):
    """Something that is not there; the message says what is."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        message = super()._undefined_message
        if isinstance(self._undefined_obj, Mapping) and not self._undefined_hint:
            return f"{self._undefined_name!r} is not one of {', '.join(map(str, self._undefined_obj))}"
        return message


class _Generator(CodeGenerator):
    """Jinja's compiler, given the tree with its bounds built in."""

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: N802  (Jinja's name)
        inside = list(node.find_all(nodes.Node))
        if len(inside) > MAX_NODES:
            message = f"a template has at most {MAX_NODES} parts, found {len(inside)}"
            raise TemplateAssertionError(message, 1, self.name, self.filename)
        for inner in inside:
            if refusal := _refusal(inner):
                raise TemplateAssertionError(refusal, inner.lineno or 1, self.name, self.filename)
        for one in (node, *inside):
            _bound(one)
        super().visit_Template(node, frame)


def _refusal(node: nodes.Node) -> str | None:
    """Return why a template may not have a node, or None."""
    if not isinstance(node, _NODES):
        return f"templates have no {_REFUSED.get(type(node)) or type(node).__name__.lower()}"
    if isinstance(node, nodes.For) and node.recursive:
        return "templates have no recursive loops"
    text = node.data if isinstance(node, nodes.TemplateData) else getattr(node, "value", None)
    if (isinstance(text, float) and not isfinite(text)) or (isinstance(text, int) and text.bit_length() > MAX_BITS):
        return "templates have no number of this size"
    if isinstance(text, str) and any(ord(character) in PLACEHOLDERS for character in text):
        return "templates have no private-use characters"
    return None


def _bound(node: nodes.Node) -> None:
    """Let every loop, macro and literal right below ``node`` go through the filters that count."""
    if isinstance(node, nodes.For):
        node.iter = _through("_steps", node.iter, nodes.Const(_cost(node)))
    elif isinstance(node, nodes.Macro | nodes.CallBlock):
        cost = _through("_spend", nodes.Const(0), nodes.Const(_cost(node)))
        node.body.insert(0, nodes.ExprStmt(cost, lineno=node.lineno))
    elif isinstance(node, nodes.Compare | nodes.Operand):
        node.expr = _through("_weighed", node.expr)
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        node.node = _through("_weighed", node.node)
    for name, child in list(node.iter_fields()):
        if isinstance(child, list):
            child[:] = [_counted(item) for item in child]  # in place: a wrapped node shares the list
        else:
            setattr(node, name, _counted(child))


def _counted(node: Any) -> Any:  # noqa: ANN401  (a node or a plain value)
    if isinstance(node, nodes.Concat):
        return _through("_concat", nodes.List(node.nodes, lineno=node.lineno))
    if isinstance(node, nodes.List | nodes.Dict) or (isinstance(node, nodes.Tuple) and node.ctx == "load"):
        return _through("_weighed", node)
    return node


def _through(name: str, node: nodes.Node, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)


def _cost(node: nodes.Node) -> int:
    """Return what one round of a node takes: its parts, and what it prints."""
    parts = list(node.find_all(nodes.Node))
    return len(parts) + sum(len(part.data) for part in parts if isinstance(part, nodes.TemplateData)) // 16


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """The environment of one render; ``record`` turns every value that is put out into the text that stands for it."""

    code_generator_class = _Generator
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, loader: BaseLoader, record: Callable[[object], str], sources: Mapping[str, str]) -> None:
        @pass_context  # or Jinja would put constants out without asking
        def finalize(_context: Context, value: object) -> str:
            self.budget.spend(weight(value).steps)
            return record(value)

        super().__init__(
            loader=loader,
            undefined=_Undefined,
            finalize=finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # the optimizer runs filters and operators while it compiles
        )
        self.budget = Budget()
        self.sources = sources
        self.globals = {"range": self._range, "namespace": Namespace}
        self.filters = {name: self._within_bounds(self.filters[name]) for name in _JINJA_FILTERS}
        own = {"tojson": _to_json, "csv": _csv, "join": _join, "_concat": _join}
        self.filters |= {name: self._within_bounds(function) for name, function in own.items()}
        self.filters |= {"_steps": self._steps, "_spend": self._spend}
        self.filters |= {"_weighed": self._made}
        tests: Mapping[str, Any] = self.tests
        self.tests = {name: self._within_bounds(tests[name]) for name in _TESTS}

    def compile(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  (Jinja's signature)
        """Compile a text, unless it was compiled before: its code is the same in every environment of this class."""
        key = (*args, *kwargs.items())
        if key not in _COMPILED:
            if len(_COMPILED) >= MAX_COMPILED:
                _COMPILED.clear()
            _COMPILED[key] = super().compile(*args, **kwargs)
        return _COMPILED[key]

    def get_template(self, *args: Any, **kwargs: Any) -> Template:  # noqa: ANN401  (Jinja's signature)
        """Load a template to include, against the budget."""
        return self._included(super().get_template(*args, **kwargs))

    def select_template(self, *args: Any, **kwargs: Any) -> Template:  # noqa: ANN401  (Jinja's signature)
        """Load the first template of several, against the budget."""
        return self._included(super().select_template(*args, **kwargs))

    def _included(self, template: Template) -> Template:
        self.budget.spend(10 + len(self.sources.get(template.name or "", "")) // 4)
        return template

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ANN401, ARG002  (Jinja's signature)
        """Say whether a template may read an attribute."""
        if attr.startswith("_"):
            return False
        if type(obj) in _METHODS:
            return attr in _METHODS[type(obj)]
        return isinstance(obj, Namespace | TemplateModule)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:  # noqa: ANN401  (Jinja's signature)
        """Return what raises as soon as it is used."""
        return self.undefined(f"templates may not read {attribute!r} of {_kind(obj)}", exc=SecurityError)

    def is_safe_callable(self, obj: Any) -> bool:  # noqa: ANN401  (Jinja's signature)
        """Say whether a template may call something."""
        owner = type(getattr(obj, "__self__", None))
        return (
            isinstance(obj, Macro)
            or obj in (self._range, Namespace)
            or getattr(obj, "__name__", "") in _METHODS.get(owner, ())
        )

    def call(__self, __context: Context, __obj: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, N805  (Jinja's)
        """Call a macro or a method, against the budget."""
        if not __self.is_safe_callable(__obj):
            raise SecurityError(f"templates may not call {getattr(__obj, '__name__', None) or _kind(__obj)}")
        owner = getattr(__obj, "__self__", None)
        __self.budget.spend(10 + weight((args, kwargs, owner if isinstance(owner, str | dict) else None)).steps)
        return __self._made(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401  (Jinja's signature)
        """Apply an operator; only numbers have any but ``+`` and ``*``."""
        numbers = isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS)
        if operator == "**" or not (numbers or operator in "+*"):
            raise OutOfBoundsError(f"templates have no {operator} for {_kind(left)} and {_kind(right)}")
        if operator == "*" and not numbers:
            lengths = [one if isinstance(one, int) else len(one) for one in (left, right)]
            if lengths[0] * lengths[1] > MAX_SIZE:
                raise OutOfBoundsError(f"a value is larger than {MAX_SIZE} characters")
        return self._made(super().call_binop(context, operator, left, right))

    def _within_bounds(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a filter that draws on the budget; no filter here makes more than its arguments' product."""

        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  (any filter's)
            values = [value for value in (*args, *kwargs.values()) if isinstance(value, str | list | tuple | Mapping)]
            weights = [weight(value) for value in values]
            self.budget.spend(sum(one.steps for one in weights))
            if prod(one.size for one in weights) > 16 * MAX_SIZE:
                raise OutOfBoundsError(f"a filter would make a value larger than {MAX_SIZE} characters")
            return self._made(function(*args, **kwargs))

        return counted

    def _made(self, value: Any) -> Any:  # noqa: ANN401  (any value of a template)
        """Return a value that was made, against the budget; what is made while it is read is made here."""
        result = list(islice(value, MAX_SIZE)) if isinstance(value, Iterator) else value
        self.budget.spend(weight(result).steps)
        return result

    def _steps(self, items: Iterable[object], steps: int) -> Iterator[object]:
        for item in items:
            self._spend(item, steps)
            yield item

    def _spend(self, _item: object, steps: int) -> None:
        # A template can name this filter too; it gets nothing back by it.
        self.budget.spend(max(1, steps))

    def _range(self, *arguments: int) -> range:
        numbers = range(*arguments)
        if len(numbers) > MAX_STEPS:
            raise OutOfBoundsError(f"range is longer than {MAX_STEPS}")
        return numbers
