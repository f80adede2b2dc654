"""What pip printed when it failed, as pip 23.2.1 and 26.3 really did, and what is said of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.recipes.job.pip_failures import LONGEST, explained, shown_line

CONFLICT = """\
Processing /tmp/sparkctl-build/wheels/tinynew-1.0-py3-none-any.whl
INFO: pip is looking at multiple versions of tinyold to determine which version is compatible with other requirements. \
This could take a while.
ERROR: Cannot install tinynew==1.0 and tinyold==1.0 because these package versions have conflicting dependencies.

The conflict is caused by:
    tinynew 1.0 depends on tinybase>=2
    tinyold 1.0 depends on tinybase<2

To fix this you could try to:
1. loosen the range of package versions you've specified
2. remove package versions to allow pip attempt to solve the dependency conflict

ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics/dependency-resolution/#dealing
"""
NO_MATCH = """\
ERROR: Could not find a version that satisfies the requirement tinybase==9 (from versions: 1.0, 1.1, 1.5, 2.0)
ERROR: No matching distribution found for tinybase==9
"""
NOTHING = """\
ERROR: Could not find a version that satisfies the requirement tinyx==1 (from versions: none)
ERROR: No matching distribution found for tinyx==1
"""
REFUSED = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by \
'NewConnectionError("HTTPConnection(host='packages.example', port=1): Failed to establish a new connection: \
[Errno 111] Connection refused")': /simple/tinyx/
"""
REFUSED_BEFORE = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by \
'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7f4e574fa350>: Failed to establish a \
new connection: [Errno -3] Temporary failure in name resolution')': /simple/tinyx/
"""
CERTIFICATE = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by \
'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed \
certificate (_ssl.c:1006)'))': /simple/tinyx/
"""
UNTRUSTED = """\
WARNING: The repository located at packages.example is not a trusted or secure host and is being ignored. If this \
repository is available via HTTPS we recommend you use HTTPS instead, otherwise you may silence this warning and allow \
it anyway with '--trusted-host packages.example'.
"""
IGNORED = """\
ERROR: Ignored the following versions that require a different python version: 2.0 Requires-Python >=3.14
ERROR: Could not find a version that satisfies the requirement tinyx==2.0 (from versions: 1.0)
ERROR: No matching distribution found for tinyx==2.0
"""
FUTURE = "ERROR: Package 'tinyfuture' requires a different Python: 3.11.7 not in '>=3.99'\n"
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
BUILD = """\
  error: subprocess-exited-with-error
  Getting requirements to build wheel did not run successfully.
  ╰─> See above for output.
ERROR: Failed to build 'tinyc' when getting requirements to build wheel
"""


@pytest.mark.parametrize(
    ("printed", "says"),
    [
        (NO_MATCH, "No matching distribution found for tinybase==9; the newest that there are: 1.1, 1.5, 2.0"),
        (NOTHING, "No matching distribution found for tinyx==1"),
        (
            CONFLICT,
            (
                "these packages contradict each other:\n  tinynew 1.0 depends on tinybase>=2\n"
                "  tinyold 1.0 depends on tinybase<2"
            ),
        ),
        (
            REFUSED + NOTHING,
            "No matching distribution found for tinyx==1: the package index was not reached: connection refused",
        ),
        (
            REFUSED_BEFORE + NOTHING,
            "No matching distribution found for tinyx==1: the package index was not reached: its name is not known",
        ),
        (REFUSED, "the package index was not reached: connection refused"),
        (CERTIFICATE, "the package index shows a certificate that is not known"),
        (
            UNTRUSTED + NOTHING,
            (
                "No matching distribution found for tinyx==1: the package index is spoken to without encryption, "
                "which pip refuses"
            ),
        ),
        (
            IGNORED,
            (
                "No matching distribution found for tinyx==2.0; the newest that there are: 1.0; there is one for "
                "Python >=3.14"
            ),
        ),
        (FUTURE, "tinyfuture wants Python >=3.99, and the base image has 3.11.7"),
        (FULL, "no space left on device"),
        (BUILD, "Failed to build 'tinyc' when getting requirements to build wheel"),
        ("something\nelse\n\n", "else"),
        ("", "it printed nothing"),
    ],
)
def test_it_is_pips_own_sentence_short(printed: str, says: str) -> None:
    found = explained(printed.splitlines(), wheels=False)

    assert found.text == says
    assert found.hint


def test_the_way_out_of_what_is_missing_is_another_with_wheels() -> None:
    assert "pip download" in explained(NOTHING.splitlines(), wheels=True).hint
    assert "pip download" not in explained(NOTHING.splitlines(), wheels=False).hint


def test_of_many_versions_the_newest_are_named_and_a_line_without_an_end_takes_no_time() -> None:
    versions = ", ".join(f"1.{number}" for number in range(400))
    lines = [f"ERROR: Could not find a version that satisfies the requirement a==2 (from versions: {versions})"]
    lines += ["ERROR: No matching distribution found for a==2", *["a-" * 8000] * 200]

    assert explained(lines, wheels=False).text.endswith("the newest that there are: 1.397, 1.398, 1.399")


def test_a_long_conflict_is_cut() -> None:
    causes = "\n".join(f"    package{number} 1 depends on x" for number in range(40))
    found = explained(["The conflict is caused by:", *causes.splitlines()], wheels=False)

    assert found.text.splitlines()[-1] == "  and 30 more"
    assert len(found.text.splitlines()) == 12


@pytest.mark.parametrize("printed", [REFUSED, UNTRUSTED, CONFLICT])
def test_no_address_is_shown(printed: str) -> None:
    shown = "\n".join(map(shown_line, printed.splitlines()))

    assert "packages.example is" not in shown
    assert "host='" not in shown
    assert "://" not in shown


def test_of_a_download_the_file_is_shown() -> None:
    line = "Downloading https://robot:token@packages.example/a/torch-2.13.0-cp312-none-any.whl#sha256=00 (900.1 MB)"

    assert shown_line(line) == "Downloading torch-2.13.0-cp312-none-any.whl (900.1 MB)"
    assert shown_line("Looking in indexes: https://u:p@one.example/simple, https://two.example/x/") == (
        "Looking in indexes: simple, (address)"
    )


@given(st.lists(st.text(max_size=80)), st.booleans())
def test_whatever_it_printed_there_is_something_to_say(lines: list[str], wheels: bool) -> None:
    found = explained(lines, wheels=wheels)

    assert found.text
    assert all(len(line) <= LONGEST + 100 for line in found.text.splitlines())
