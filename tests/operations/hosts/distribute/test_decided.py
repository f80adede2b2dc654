"""What is missing where, and where it comes from: values in, values out."""

from __future__ import annotations

import posixpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.operations.hosts.distribute.decided import (
    LAST_BYTES,
    ModelPlace,
    file_copies,
    links,
    no_room,
    refuse_outside,
    sources,
)
from sparkctl.operations.hosts.distribute.models import place, reference
from sparkctl.operations.hosts.same import HeldFile, HeldModel, HostHolds
from sparkctl.world.engine import Image
from sparkctl.world.host import StoredFile

CACHE = ModelPlace(Path("/hub/models--o--n/snapshots/c"), Path("/hub/models--o--n/blobs"))
FOLDER = ModelPlace(Path("/models/n"))
IMAGE = Image("sha256:1", (), 1)
WHOLE = HeldModel("o/n", None, {"config.json": HeldFile(7)})
LACKING = HeldModel("o/n", problem="is not there")

_NAME = st.text("abc", min_size=1, max_size=3)
_FILES = st.lists(
    st.builds(
        lambda parts, blob, size: StoredFile("/".join(parts), f"/real/{blob}", size, 1, blob),
        st.lists(_NAME, min_size=1, max_size=3) | st.just(["config.json"]),
        _NAME | st.just(""),
        st.integers(0, 9),
    ),
    unique_by=lambda file: file.name,
)


def has(host: str, *, image: Image | None = IMAGE, model: HeldModel = WHOLE) -> HostHolds:
    return HostHolds(host, "tiny", "vllm:v1", image, None, {"model": model})


@given(_FILES, st.sampled_from([CACHE, FOLDER]))
def test_every_name_of_a_model_leads_to_its_bytes_and_config_comes_last(
    files: list[StoredFile], where: ModelPlace
) -> None:
    refuse_outside("a", where.folder, files)
    copies = file_copies(files, where, {})
    assert len({one.path for one in copies}) == len({one.partial for one in copies}) == len(copies)
    paths = {one.path for one in copies}
    made = {str(path): posixpath.normpath(f"{path.parent}/{text}") for path, text in links(files, where)}
    for file in files:
        name = str(where.folder / file.name)
        assert Path(made.get(name, name)) in paths
    if any(file.name == "config.json" and not file.blob for file in files):
        assert copies[-1].path.name == "config.json"
    assert all(one.missing and one.bytes == one.file.bytes for one in copies)


def test_what_has_arrived_is_not_counted_and_more_than_there_is_counts_nothing() -> None:
    file = StoredFile("x", "/real/x", 10, 1)
    partial = FOLDER.folder / "x.incomplete"
    assert [file_copies([file], FOLDER, {partial: came})[0].bytes for came in (None, 4, 10, 11)] == [10, 6, 0, 10]
    (there,) = file_copies([file], FOLDER, {FOLDER.folder / "x": 10})
    assert (there.missing, there.bytes) == (False, 0)


def test_a_place_is_the_cache_of_a_snapshot_and_else_the_folder() -> None:
    snapshot = Path("/a/hub/models--o--n/snapshots/c")
    assert place(snapshot, Path("/models/n"), Path("/hub"), "o/n") == CACHE
    assert place(Path("/a/models/n"), Path("/models/n"), Path("/hub"), "o/n") == FOLDER
    refs = Path("/hub/models--o--n/refs")
    assert [reference(CACHE, name) for name in (None, "v1", "refs/pr/1", "../x", "/x", "c" * 40)] == [
        *(refs / "main", refs / "v1", refs / "refs/pr/1", None, None, None),
    ]
    assert reference(FOLDER, None) is None


def test_a_disk_keeps_its_last_gib() -> None:
    assert no_room("b", "o/n", 10, LAST_BYTES + 10, Path("/m")) is None
    assert no_room("b", "o/n", 10, None, Path("/m")) is None
    assert no_room("b", "o/n", 11, LAST_BYTES + 10, Path("/m")) == (
        "b: no room for o/n: 11 B to come, 1.0 GiB free at /m, of which 1.0 GiB are left alone"
    )


def test_each_thing_comes_from_the_first_host_that_has_it_another_one_than_a_target_before() -> None:
    holds = {"a": has("a", image=None), "b": has("b"), "c": has("c", model=LACKING)}
    assert sources(holds, None, ["a", "b", "c"]) == {"image": "b", "model": "a"}
    assert sources(holds, None, ["a"]) == {"image": "b", "model": "b"}
    assert sources(holds, "a", ["b"]) == {"image": "c", "model": "a"}, "an image may come from elsewhere"
    assert sources({"a": has("a", image=None)}, None, ["a"])["image"] is None
    with pytest.raises(InputError, match="tiny: model: c: is not there"):
        sources(holds, "c", ["b"])
    with pytest.raises(InputError, match="no host has the model: c: is not there"):
        sources({"c": holds["c"]}, None, ["c"])


def test_which_of_two_images_is_meant_is_the_operators_to_say() -> None:
    one, other = IMAGE._replace(layers=("1",)), IMAGE._replace(layers=("2",))
    holds = {"a": has("a", image=one), "b": has("b", image=other)}
    with pytest.raises(InputError, match="tiny: image: 1 layers"):
        sources(holds, None, ["b"])
    assert sources(holds, "b", ["a"])["image"] == "b"
