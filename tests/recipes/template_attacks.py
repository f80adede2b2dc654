"""Templates that were written to do harm: what each tries is its name."""

from __future__ import annotations

from itertools import product
from typing import Final

from tests.support.thorough import THOROUGH

FULL: Final = 65_000
"""Characters that a template may have, nearly."""
_LARGE: Final = {
    "text": "'x' * 131000",
    "list": "[0] * 130000",
    "texts": "['x' * 1000] * 100",
    "range": "range(100000)",
    "map": "{'a': [0] * 100000}",
}
_WORK: Final = {
    "list literal": "{% set b = [a] %}",
    "map literal": "{% set b = {'a': a} %}",
    "tuple literal": "{% set b = (a, 1) %}",
    "equal": "{% if a == a %}{% endif %}",
    "inside": "{% if 1 in a %}{% endif %}",
    "joined": "{% set b = a ~ i %}",
    "slice": "{% set b = a[1:] %}",
    "kept": "{% set n.all = [n.all, a] %}",
    "filter": "{% set b = a | list %}",
    "length": "{% set b = a | length %}",
    "json": "{{ a | tojson }}",
    "sort": "{% set b = a | sort %}",
    "output": "{{ a | join }}",
    "block": "{% set b %}{{ a | join }}{% endset %}{{ b }}",
    "macro": "{{ m(a) }}",
    "arguments": "{{ m(*a) }}",
}
_GROWING: Final = {
    f"{name} of {kind}": f"{{% macro m(b) %}}{{{{ b | length }}}}{{{{ varargs | length }}}}{{% endmacro %}}"
    f"{{% set n = namespace(all=[]) %}}{{% set a = {value} %}}{{% for i in range(9000) %}}{work}{{% endfor %}}x"
    for (kind, value), (name, work) in product(_LARGE.items(), _WORK.items())
}
_LONG: Final = {
    f"{FULL} characters of {piece}": start + piece * ((FULL - len(start + end)) // len(piece)) + end
    for start, piece, end in (
        ("", "{{a}}", ""),
        ("", "{{1}}", ""),
        ("", "{%if a%}{%endif%}", ""),
        ("", "{%if a%}", ""),
        ("", "{%for i in a%}", ""),
        ("", "{%set a=1%}", ""),
        ("", "{%macro m()%}{%endmacro%}", ""),
        ("{%if a%}", "{%elif a%}", "{%endif%}"),
        ("{{a", "|trim", "}}"),
        ("{{a", ".a", "}}"),
        ("{{a", "~a", "}}"),
        ("{{a", "+a", "}}"),
        ("{{a", " if a else a", "}}"),
        ("{{a", "[a]", "}}"),
        ("{{a", "()", "}}"),
        ("{{a", " and a", "}}"),
        ("{{a", "<a", "}}"),
        ("{{", "(", "}}"),
        ("{{", "[", "}}"),
        ("{{", "{1:", "}}"),
        ("{{", "-", "1}}"),
        ("{{", "not ", "1}}"),
        ("{% set b = [", "[],", "] %}x"),
        ("{% set b = [", "1,", "] %}x"),
        ("{{", "9", "}}"),
        ("{{1.", "9", "e999}}"),
        ("{{'", "\\\\u0041", "'}}"),
        ("{#", "#", "#}"),
        ("{{'", "x", "'}}"),
        ("'", "x", ""),
        ("", "\\\\", ""),
        ("", "\n", ""),
    )
}
_OTHERS: Final = {
    "a list for ever": "{% set a = [0]*100000 %}{% for i in range(9000) %}{% set b = [a] %}{% endfor %}x",
    "two gigabytes": "{% set a = 'x' * 131000 %}{% for i in range(9000) %}{{ a }}{% endfor %}",
    "a list of itself": "{% set n = namespace(a=[]) %}{% for i in range(9000) %}{% set n.a = [n.a, n.a] %}{% endfor %}"
    "x",
    "nested lists as JSON": "{% set n = namespace(a=[]) %}{% for i in range(9000) %}{% set n.a = [n.a] %}{% endfor %}"
    "{{ n.a | tojson }}",
    "squares": "{% set n = namespace(a=7) %}{% for i in range(9000) %}{% set n.a = n.a * n.a %}{% endfor %}x",
    "loops in loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}x",
    "a wide number": "{{ '%1000000000d' % 5 }}",
    "a formatted number": "{{ '{:>1000000000}'.format(5) }}",
    "a number as text": "{{ '9' * 100000 | int }}",
    "a macro of itself": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "Python's classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a loop's iterable": "{% for i in [1] %}{{ loop._iterable }}{% endfor %}",
    "a macro's globals": "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
    "an attribute by name": "{{ ([''] | map(attribute='__class__') | list)[0] }}",
    "the template itself": "{{ self.__init__ }}",
    "a file by its path": "{% include '/etc/passwd' %}",
    "a file above": "{% include '../../../etc/passwd' %}",
    "a device": "{% include '/dev/zero' %}",
}
_SOME: Final = [f"{name} of {list(_LARGE)[place % len(_LARGE)]}" for place, name in enumerate(_WORK)]
"""Each work once, each large value three times; a run that tries a part tries every third of these."""
ATTACKS: Final = (
    {**_GROWING, **_LONG, **_OTHERS}
    if THOROUGH
    else {name: _GROWING[name] for name in _SOME[::3]} | dict([*_LONG.items()][::6]) | _OTHERS
)
"""A run that tries a part tries every sixth of the long ones: neighbours of the list are read by the same code."""
