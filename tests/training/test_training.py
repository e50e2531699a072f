"""The stages that need PyTorch, at tiny sizes. Install the extra `train` to run them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train` (torch, tokenizers): pip install .[train]")
pytest.importorskip("tokenizers", reason="needs the extra `train` (torch, tokenizers): pip install .[train]")

import torch
from torch.nn.functional import cross_entropy

from scrubjay_training.__main__ import main
from scrubjay_training.batches import all_rows, open_examples, rows_of
from scrubjay_training.collect import write_corpus
from scrubjay_training.examples import Example
from scrubjay_training.export import Kind, export
from scrubjay_training.learner import learn_step, learner_of, load_learner, load_model
from scrubjay_training.loss import output_loss
from scrubjay_training.model import StarterModel, attended, initialise
from scrubjay_training.optimizer import half_orthogonal, is_matrix
from scrubjay_training.parity import llama_logits, nmse, torch_logits
from scrubjay_training.start import grown, read_model, read_tokenizer
from scrubjay_training.tokenizer import encode_plain, load_tokenizer, train_tokenizer
from scrubjay_training.train import train
from scrubjay_training.values import SPECIALS, Plan, Shape, Workspace
from tests.support.training_corpus import TEXT, corpus

SHAPE = Shape(n_vocab=320, width=64, n_layers=3, feed_forward=96, n_heads=1, attention=(1,), n_ctx=256)
PLAN = Plan(n_steps=6, n_warmup=2, n_decay=2, n_tokens=256, window=64, long_window=128, minutes_between_saves=60)
_PARTS = (slice(0, 13), slice(13, 14), slice(14, 40))


def _workspace(folder: Path) -> Workspace:
    workspace = Workspace(folder)
    write_corpus(corpus(), workspace.corpus)
    tokenizer = train_tokenizer([file.text for file in corpus()], SHAPE.n_vocab)
    tokenizer.save(str(workspace.tokenizer))
    return workspace


def _model(seed: int = 3) -> StarterModel:
    model = StarterModel(SHAPE)
    initialise(model, seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)) * 0.2)
    return model


def test_the_tokenizer_gives_every_text_back(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(_workspace(tmp_path).tokenizer)
    assert tokenizer.get_vocab_size() <= SHAPE.n_vocab
    for text in (TEXT, "naïve 日本 \t\r\n  x", "<|endoftext|> <| |>"):
        tokens = encode_plain(tokenizer, text)
        assert tokenizer.decode(tokens, skip_special_tokens=False) == text
        assert not {tokenizer.token_to_id(special) for special in SPECIALS} & set(tokens)


def test_muons_direction_has_singular_values_near_one() -> None:
    for shape in ((16, 48), (48, 16)):
        values = torch.linalg.svdvals(half_orthogonal(torch.randn(*shape)))
        assert 0.5 < values.min() < values.max() < 1.5


def test_muon_moves_maps_and_not_tables() -> None:
    names = {name for name, parameter in _model().named_parameters() if is_matrix(name, parameter)}
    assert "layers.0.mixer.in_proj.weight" in names
    assert not names & {"embedding.weight", "layers.0.mixer.conv", "last_norm.weight"}


def test_the_model_does_not_look_ahead() -> None:
    model, tokens = _model(), torch.arange(40)[None]
    changed = torch.cat((tokens[:, :30], tokens[:, 30:] + 1), dim=1)
    assert torch.allclose(model(tokens)[:, :30], model(changed)[:, :30], atol=1e-5)


def test_attention_stays_within_a_text() -> None:
    query, key, value = torch.randn(3, 1, 2, 40, 16)
    together = attended(query, key, value, [13, 1, 26])
    parts = [(query[:, :, part], key[:, :, part], value[:, :, part]) for part in _PARTS]
    alone = [attended(*part, [part[0].shape[2]]) for part in parts]
    assert torch.allclose(together, torch.cat(alone, dim=2), atol=1e-6)


def test_texts_of_a_row_are_learnt_as_if_each_stood_alone() -> None:
    shape = replace(SHAPE, n_layers=2, attention=(0, 1))  # a short convolution sees two tokens past a text's start
    tokens, model = torch.randint(SHAPE.n_vocab, (1, 40)), StarterModel(shape)
    initialise(model, 3)
    together = model(tokens, [part.stop - part.start for part in _PARTS])
    alone = [model(tokens[:, part]) for part in _PARTS]
    assert torch.allclose(together, torch.cat(alone, dim=1), atol=1e-5)
    assert not torch.allclose(together, model(tokens), atol=1e-2)


def test_learning_lowers_the_loss_and_says_how_long_it_will_take(tmp_path: Path) -> None:
    workspace, notes = _workspace(tmp_path), list[str]()
    plan = Plan(n_steps=20, n_warmup=2, n_decay=5, n_tokens=512, window=128, long_window=128)
    train(workspace, SHAPE, plan, notes.append, mirror=tmp_path / "mirror")
    losses = [json.loads(line)["loss"] for line in workspace.log.read_text().splitlines()]
    assert losses[-1] < losses[0] - 0.3
    assert "minutes to go" in notes[-1]
    assert {path.name for path in (tmp_path / "mirror").iterdir()} >= {"checkpoint.pt", "stable.pt", "tokenizer.json"}


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "halves").mkdir()
    whole, halves = _workspace(tmp_path / "whole"), _workspace(tmp_path / "halves")
    train(whole, SHAPE, PLAN, lambda _: None)
    learner = train(halves, SHAPE, PLAN, lambda _: None)
    learner.save(halves.checkpoint)
    # As if the machine had stopped before the rate began to fall: go on from there.
    halves.stable_checkpoint.replace(halves.checkpoint)
    assert load_learner(halves.checkpoint, PLAN).n_done == PLAN.n_steps - PLAN.n_decay
    train(halves, SHAPE, PLAN, lambda _: None)
    ends = [load_model(workspace.checkpoint).state_dict() for workspace in (whole, halves)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_processes_together_learn_what_one_learns(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "three").mkdir()
    train(_workspace(tmp_path / "one"), SHAPE, PLAN, lambda _: None)
    together = _workspace(tmp_path / "three")
    learner = train(together, SHAPE, replace(PLAN, n_processes=3), lambda _: None)
    assert learner.n_tokens == PLAN.n_steps * PLAN.n_tokens
    ends = [load_model(Workspace(tmp_path / name).checkpoint).state_dict() for name in ("one", "three")]
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=2e-3) for name in ends[0])
    saved = load_learner(together.checkpoint, PLAN)
    assert all(torch.equal(a, b) for a, b in zip(saved.muon.momenta(), learner.muon.momenta(), strict=True))


def test_the_loss_and_its_gradients_are_those_of_pytorch() -> None:
    vectors, matrix = torch.randn(700, 16, requires_grad=True), torch.randn(40, 16, requires_grad=True)
    targets, weights = torch.randint(0, 40, (700,)), torch.rand(700)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.05)):
        both = []
        for loss in (
            output_loss(vectors, matrix, targets, weights, dtype),
            cross_entropy(vectors @ matrix.T, targets, reduction="none") @ weights,
        ):
            vectors.grad = matrix.grad = None
            (2 * loss).backward()  # type: ignore[no-untyped-call,unused-ignore]
            both.append((loss.detach()[None], vectors.grad, matrix.grad))
        for ours, theirs in zip(*both, strict=True):
            assert (ours - theirs).norm() <= tolerance * theirs.norm()


def test_batches_depend_on_seed_and_step_alone(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    examples = open_examples(workspace)
    assert [len(rows_of(examples, PLAN, step)) for step in (0, 5)] == [4, 2]
    assert {len(row.tokens) for row in rows_of(examples, PLAN, 5)} == {129}
    made_here = list(all_rows(workspace, PLAN, 2))
    assert made_here == [rows_of(examples, PLAN, step) for step in (2, 3, 4, 5)]
    assert made_here == list(all_rows(workspace, replace(PLAN, n_workers=2), 2))
    assert made_here[0] != made_here[1]


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
def test_llama_cpp_computes_what_pytorch_does(tmp_path: Path, kind: Kind) -> None:
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python, which Scrubjay itself depends on")
    model, tokenizer = _model(), load_tokenizer(_workspace(tmp_path).tokenizer)
    export(model, tokenizer, tmp_path / "model.gguf", kind)
    tokens = encode_plain(tokenizer, TEXT)[:100]
    ours, theirs = torch_logits(model, [tokens]), llama_logits(tmp_path / "model.gguf", [tokens])
    # The norm of f32 is set by llama.cpp's f16 cache of keys and values, that of q8_0 by its 8 bits.
    assert nmse(ours, theirs) < {"f32": 1e-5, "f16": 1e-4, "q8_0": 3e-3}[kind]
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) >= 0.95


@pytest.mark.parametrize(("kind", "most"), [("f32", 0.0), ("q8_0", 3e-3)])
def test_an_exported_file_gives_model_and_tokenizer_back(tmp_path: Path, kind: Kind, most: float) -> None:
    model, tokenizer = _model(), load_tokenizer(_workspace(tmp_path).tokenizer)
    export(model, tokenizer, tmp_path / "model.gguf", kind)
    read, tokens = read_model(tmp_path / "model.gguf"), encode_plain(tokenizer, TEXT)[:100]
    assert nmse(torch_logits(model, [tokens]), torch_logits(read, [tokens])) <= most
    assert read_tokenizer(tmp_path / "model.gguf").to_str() == tokenizer.to_str()


@pytest.mark.parametrize(("n_layers", "feed_forward"), [(3, 160), (4, 96), (7, 128)])
def test_a_grown_model_says_what_it_said_and_can_learn_in_all_parts(n_layers: int, feed_forward: int) -> None:
    model, tokens = _model(), torch.arange(40)[None]
    attention = tuple(range(1, n_layers, 2))
    larger = grown(model, replace(SHAPE, n_layers=n_layers, feed_forward=feed_forward, attention=attention), seed=5)
    assert torch.allclose(model.logits(model(tokens)), larger.logits(larger(tokens)), atol=1e-5)
    learner = learner_of(larger, PLAN)
    before = {name: parameter.clone() for name, parameter in larger.named_parameters()}
    for _ in range(2):  # what reads the vectors has a gradient only when what writes into them is no longer zero
        learn_step(learner, [Example(list(range(65)), [1.0] * 65, [65])], PLAN)
    after = dict(larger.named_parameters())
    assert all((before[name] != after[name]).any(dim=-1).all() for name in before if before[name].ndim == 2)


@pytest.mark.parametrize(
    "wrong", [{"width": 128, "n_heads": 2}, {"feed_forward": 64}, {"n_layers": 2}, {"attention": (0,)}]
)
def test_a_model_does_not_grow_into_what_cannot_hold_it(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"keeps its|no room|no place"):
        grown(_model(), replace(SHAPE, **wrong), seed=5)


def test_every_stage_after_collecting_runs_from_the_command_line(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python, which Scrubjay itself depends on")
    workspace = Workspace(tmp_path)
    write_corpus(corpus(), workspace.corpus)
    folder = ["--folder", str(tmp_path)]
    assert main(["tokenizer", *folder, "--vocabulary", "320"]) == 0
    sizes = ["--width", "64", "--layers", "2", "--feed-forward", "64", "--vocabulary", "320"]
    n_vocab = load_tokenizer(workspace.tokenizer).get_vocab_size()
    sizes[-1] = str(n_vocab)
    steps = ["--steps", "2", "--decay", "1", "--step-tokens", "128", "--window", "64", "--long-window", "128"]
    assert main(["train", *folder, *sizes, *steps]) == 0
    assert main(["export", *folder]) == 0
    assert main(["check", *folder]) == 0
    further = ["--folder", str(tmp_path / "further"), "--from", str(workspace.gguf("q8_0"))]
    (tmp_path / "further").mkdir()
    write_corpus(corpus(), Workspace(tmp_path / "further").corpus)
    assert main(["train", *further, "--layers", "4", "--rate", "0.5", *steps]) == 0
    assert load_model(Workspace(tmp_path / "further").checkpoint).shape.n_layers == 4
