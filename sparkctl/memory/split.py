"""How a server's ranks share a model: tensor, pipeline and expert parallelism, and splits that are impossible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.memory.model.layers import Kind

if TYPE_CHECKING:
    from sparkctl.memory.model.geometry import Geometry
    from sparkctl.memory.model.layers import LayerGroup

_PADDED_TO: Final = 64
"""The vocabulary is padded to a multiple of this before it is cut (vLLM 0.32.0 vocab_parallel_embedding.py)."""


class Split(NamedTuple):
    """How a model is shared by ranks, each with a GPU of its own.

    ``tensor`` ranks share each layer, and each of ``pipeline`` stages has some of the layers: ``partition`` says how
    many (``VLLM_PP_LAYER_PARTITION``), () is vLLM's own distribution. ``by_expert``: experts are distributed whole and
    not cut (``--enable-expert-parallel``). ``whole_towers``: every rank has the towers whole (``--mm-encoder-tp-mode
    data``). ``nodes`` hosts have equally many ranks. ``worker``: a rank that is not on the head's host, without server
    and engine core.
    """

    tensor: int = 1
    pipeline: int = 1
    by_expert: bool = False
    whole_towers: bool = False
    nodes: int = 1
    partition: tuple[int, ...] = ()
    worker: bool = False

    @property
    def ranks(self) -> int:
        """How many ranks there are."""
        return self.tensor * self.pipeline

    @property
    def ranks_here(self) -> int:
        """How many of them are on one host."""
        return max(1, self.ranks // self.nodes)

    @property
    def words(self) -> str:
        """What one of the ranks is called."""
        return f"of one of {self.ranks} ranks"

    def stages(self, layers: int) -> tuple[int, ...]:
        """Return how many layers each stage has in vLLM's distribution (0.32.0 distributed/utils.py, get_pp_indices).

        The remaining layers go to the stages before the last one, one each, from the back.
        """
        if self.partition:
            return self.partition
        each, left = divmod(layers, self.pipeline)
        last = self.pipeline - 1
        return tuple(each + (last - left <= stage < last) for stage in range(self.pipeline))


def check(shape: Geometry, split: Split) -> None:
    """Refuse a split that vLLM does not start with.

    Raises:
        InputError: something that does not divide, or more stages than layers; the message says what and why.
    """
    found = next(iter([*_of_stages(shape, split), *_of_tensors(shape, split)]), None)
    if found is not None:
        sizes = [size for size in range(1, 17) if not _of_tensors(shape, split._replace(tensor=size))]
        hint = f"tensor-parallel-size may be {', '.join(map(str, sizes))}; other numbers of hosts share by stages "
        raise InputError(found, hint=f"{hint}(pipeline-parallel-size)")


def _of_stages(shape: Geometry, split: Split) -> list[str]:
    found = []
    if split.ranks % split.nodes:
        found.append(f"{split.ranks} ranks cannot be dealt out evenly to {split.nodes} nodes")
    if split.pipeline > shape.layers:
        found.append(f"{split.pipeline} stages of a pipeline are more than the model's {shape.layers} layers")
    if split.partition and (len(split.partition) != split.pipeline or sum(split.partition) != shape.layers):
        given = ",".join(map(str, split.partition))
        found.append(f"VLLM_PP_LAYER_PARTITION {given} is not {split.pipeline} stages of {shape.layers} layers in all")
    return found


def _of_tensors(shape: Geometry, split: Split) -> list[str]:
    """Return in words which parts of a model ``tensor`` ranks cannot cut (vLLM 0.32.0 asserts each of them)."""
    size = split.tensor
    numbers = [
        ("attention heads", shape.q_heads),
        ("rows of the padded vocabulary", -(-shape.vocabulary // _PADDED_TO) * _PADDED_TO),
        ("widths of the feed-forward", shape.intermediate),
        ("widths of the shared experts", shape.shared_expert_intermediate),
    ]
    if not split.by_expert:
        numbers.append(("widths of each expert", shape.expert_intermediate))
    found = [f"{count} {what} cannot be cut into {size}" for what, count in numbers if count % size]
    for group in shape.groups:
        heads = group.kv_heads
        if is_cut(group) and group.state is None and heads and heads % size and size % heads:
            found.append(f"{heads} key-value heads can neither be cut into {size} nor be there as often")
        if group.state is not None and group.state.recurrent % size:
            found.append(f"the state of a recurrent layer cannot be cut into {size}")
    return found


def is_cut(group: LayerGroup) -> bool:
    """Return whether tensor ranks share a layer's cache. A latent is one head, which each rank keeps whole."""
    return group.kind is not Kind.MLA and group.page is None and group.element_bytes is None
