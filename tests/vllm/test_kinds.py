"""What a server does, by its flags and its model's architecture; and what one GPU cannot be."""

from __future__ import annotations

import pytest

from sparkctl.vllm.kinds import ServerKind, beyond_one_host, kind_of, thinks

QWEN3 = {"architectures": ["Qwen3ForCausalLM"]}
XLM_R = {"architectures": ["XLMRobertaForSequenceClassification"]}
RERANKER = {
    "architectures": ["Qwen3ForSequenceClassification"],
    "classifier_from_token": ["no", "yes"],
    "is_original_qwen3_reranker": True,
}


@pytest.mark.parametrize(
    ("flags", "config", "kind"),
    [
        ({}, {}, "generate"),
        ({}, QWEN3, "generate"),
        ({"runner": "generate"}, QWEN3, "generate"),
        ({"runner": "pooling"}, {}, "embed"),
        ({"runner": "pooling"}, QWEN3, "embed"),  # what the real vLLM 0.32.0 made of it: convert embed
        ({"convert": "embed"}, QWEN3, "embed"),
        ({"task": "embedding"}, QWEN3, "embed"),
        ({"task": "score"}, QWEN3, "rank"),
        ({"task": "transcription"}, {}, "transcribe"),
        ({"runner": "pooling", "convert": "classify"}, QWEN3, "classify"),
        ({"hf-overrides": RERANKER}, QWEN3, "rank"),
        ({"hf-overrides": '{"architectures": ["Qwen3ForSequenceClassification"], "num_labels": 1}'}, QWEN3, "rank"),
        ({}, {**XLM_R, "num_labels": 1}, "rank"),
        ({}, {**XLM_R, "id2label": {"0": "LABEL_0"}}, "rank"),  # as the real vLLM 0.32.0 served a BERT with one label
        ({}, XLM_R, "classify"),
        ({"pooler-config": {"task": "token_embed"}, "runner": "pooling"}, QWEN3, "pool"),
        ({}, {"architectures": ["BertForTokenClassification"]}, "pool"),
        ({}, {"architectures": ["BertModel"]}, "embed"),
        ({}, {"architectures": ["Qwen2ForRewardModel"]}, "embed"),
        ({}, {"architectures": ["WhisperForConditionalGeneration"]}, "transcribe"),
        ({"hf-overrides": "{", "runner": 7, "convert": ["embed"]}, {"architectures": "Bert"}, "generate"),
    ],
)
def test_the_kind_of_a_server(flags: dict[str, object], config: dict[str, object], kind: str) -> None:
    assert kind_of(flags, config) is ServerKind(kind)


def test_a_reasoning_parser_is_of_a_model_that_thinks() -> None:
    assert thinks({"reasoning-parser": "qwen3"})
    assert not thinks({"reasoning-parser": None})
    assert not thinks({})


def refused(args: dict[str, object], gpus: int = 1) -> list[str]:
    return [f"{finding.path[0]}: {finding.message}" for finding in beyond_one_host(args, gpus)]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"tensor-parallel-size": 2}, "tensor-parallel-size: --tensor-parallel-size 2 needs 2 GPUs; the recipe has 1"),
        ({"data-parallel-size": "2"}, "data-parallel-size: --data-parallel-size 2 needs 2 GPUs; the recipe has 1"),
        ({"headless": True}, "headless: --headless: it has no API server"),
        ({"uds": "/run/vllm.sock"}, "uds: --uds: the server would listen on a socket in its container and on no port"),
        ({"uds": ["/run/vllm.sock"]}, "uds: --uds: "),
        ({"nnodes": 2}, "nnodes: --nnodes 2 needs more hosts"),
        ({"distributed-executor-backend": "ray"}, "--distributed-executor-backend ray needs a Ray cluster"),
        ({"decode-context-parallel-size": 2}, "needs a tensor-parallel-size of as many GPUs"),
    ],
)
def test_what_one_gpu_cannot_be_is_refused_with_what_it_would_need(args: dict[str, object], told: str) -> None:
    (found,) = refused(args)
    assert told in found


def test_flags_that_multiply_are_summed_up() -> None:
    both = {"tensor-parallel-size": 2, "pipeline-parallel-size": 3}
    assert refused(both) == [
        "tensor-parallel-size: --tensor-parallel-size 2 needs 2 GPUs, and the flags together 6; the recipe has 1",
        "pipeline-parallel-size: --pipeline-parallel-size 3 needs 3 GPUs, and the flags together 6; the recipe has 1",
    ]


def test_what_one_gpu_can_be_is_not_refused() -> None:
    fine = {"tensor-parallel-size": 1, "api-server-count": 4, "headless": False, "uds": None, "nnodes": "1"}
    assert refused(fine) == []
    assert refused({"distributed-executor-backend": "mp", "tensor-parallel-size": "two"}) == []
    assert refused({"tensor-parallel-size": 2}, gpus=2) == []
    assert refused({"tensor-parallel-size": 2, "nnodes": 2}, gpus=0) == [], "ranks on the CPU are processes"
