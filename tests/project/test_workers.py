"""Which tests go to one worker together, which units begin first, and what a run that tries a part tries."""

from __future__ import annotations

import pytest

from tests.support.engine_fixtures import ENGINES
from tests.support.paths import REPOSITORY
from tests.support.thorough import SHARE, THOROUGH, Share, pairs
from tests.support.workers import CLIENTS, HOSTS, JOBS, ORDER, SECRETS, VLLM, WAITING, WAITS, rank, unit_of


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/operations/bench/test_bench_on_vllm.py::test_a", VLLM),
        ("tests/operations/test_died_on_vllm.py::test_b", VLLM),
        ("tests/operations/start/test_up_on_docker.py::test_c[first]", ORDER[2]),
        ("tests/operations/start/test_waves_on_docker.py::test_w", VLLM),
        ("tests/world/docker/test_engine.py::TestDockerEngine::test_r[first]", ORDER[2]),
        ("tests/operations/test_killed_on_docker.py::test_d[first-up --replace]", ORDER[2]),
        ("tests/operations/jobs/test_jobs_on_docker.py::test_j[first]", JOBS),
        ("tests/operations/jobs/test_jobs_on_docker.py::test_j", JOBS),
        ("tests/operations/groups/test_groups_on_hosts.py::test_h", HOSTS),
        ("tests/operations/hosts/test_on_hosts.py::test_o", HOSTS),
        ("tests/operations/jobs/test_image_on_docker.py::test_i[first]", ORDER[2]),
        ("tests/operations/jobs/test_product_trial_on_vllm.py::test_p", VLLM),
        ("tests/cli/test_secrets_everywhere.py::test_s", WAITS),
        ("tests/project/test_readme.py::test_r", WAITS),
        ("tests/cli/test_size.py::test_e[first]", "tests/cli/test_size.py"),
        ("tests/world/door/test_official_clients.py::test_g", CLIENTS),
        ("tests/world/sim/test_server.py::test_h", CLIENTS),
    ],
)
def test_what_shares_a_server_or_an_engine_shares_a_worker(nodeid: str, unit: str) -> None:
    assert unit_of(nodeid) == unit


def test_what_waits_is_there() -> None:
    assert not [file for file in WAITING if not (REPOSITORY / file).is_file()]


def test_without_a_new_engine_all_that_deploys_is_on_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENGINES["new"].variable, "unix:///there")
    assert unit_of("tests/operations/start/test_up_on_docker.py::test_f") == ORDER[1]
    assert unit_of(SECRETS) == ORDER[1]
    monkeypatch.delenv(ENGINES["new"].variable)
    assert unit_of("tests/operations/start/test_up_on_docker.py::test_f") == ORDER[2]


def test_what_takes_the_longest_begins_first() -> None:
    units = ["tests/a.py", "tests/long.py", *ORDER[::-1], "tests/b.py"]
    assert sorted(units, key=lambda unit: rank(unit, {"tests/long.py"})) == [
        *ORDER,
        "tests/long.py",
        "tests/a.py",
        "tests/b.py",
    ]


def test_a_part_of_the_pairs_has_each_of_both() -> None:
    for ones, others in (("abcde", "xyz"), ("xyz", "abcde"), ("a", "xyz")):
        tried = pairs(ones, others)
        assert {one for one, _ in tried} == set(ones)
        assert {other for _, other in tried} == set(others)
        assert len(set(tried)) == (len(ones) * len(others) if THOROUGH else max(len(ones), len(others)))


@pytest.mark.a_part(2)
@pytest.mark.parametrize("case", range(5))
def test_of_the_cases_of_a_part_two_are_tried(case: int) -> None:
    assert THOROUGH or SHARE or case in {0, 2}


def test_every_place_is_in_one_share() -> None:
    shares = [Share(number, 4) for number in range(4)]
    for place in range(40):
        assert sum(share.has(place) for share in shares) == 1
