"""python -m scrubjay_training STAGE: train the starter model anew, or go on with it.

collect     read the source files of packages under permissive licences; write corpus and manifest
tokenizer   train the vocabulary
train       learn; stop it at any time, start it again to go on
export      write GGUF files (f32, f16, q8_0) from the last checkpoint
check       compare PyTorch's logits and tokens with llama.cpp's
evaluate    measure a GGUF file on the held-out packages
"""

import argparse
import json
import site
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from scrubjay.starter import model_path
from scrubjay_training.collect import collect, manifest, read_corpus, write_corpus
from scrubjay_training.sources import packages
from scrubjay_training.unpacked import unpacked
from scrubjay_training.values import Plan, Shape, Workspace

_N_TOKENIZER_FILES = 1800
_PLAN, _SHAPE = Plan(), Shape()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; returns the exit status."""
    options = _parser().parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    _STAGES[options.stage](options, Workspace(options.folder))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m scrubjay_training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=sorted(_STAGES))
    parser.add_argument("--folder", type=Path, default=Path("starter-training"), help="where all files of a run lie")
    parser.add_argument("--site", type=Path, action="append", help="a folder of installed packages; may be repeated")
    parser.add_argument("--unpacked", type=Path, action="append", help="a folder of unpacked packages; may be repeated")
    parser.add_argument(
        "--from", dest="start", type=Path, help="a GGUF file to begin a training with, grown to the shape"
    )
    parser.add_argument("--mirror", type=Path, help="a second folder for what going on elsewhere needs")
    parser.add_argument("--steps", type=int, default=_PLAN.n_steps, help="steps of training in all")
    parser.add_argument(
        "--decay", type=int, default=_PLAN.n_decay, help="how many of them, at the end, slow down to zero"
    )
    parser.add_argument("--step-tokens", type=int, default=_PLAN.n_tokens, help="tokens of one step")
    parser.add_argument("--window", type=int, default=_PLAN.window, help="tokens of a sequence at first")
    parser.add_argument("--long-window", type=int, default=_PLAN.long_window, help="and while the rate falls")
    parser.add_argument("--rate", type=float, default=1.0, help="a factor on how fast it learns")
    parser.add_argument("--seed", type=int, default=_PLAN.seed)
    parser.add_argument("--threads", type=int, default=_PLAN.n_threads)
    parser.add_argument("--processes", type=int, default=_PLAN.n_processes, help="that learn together, a thread each")
    parser.add_argument("--narrow", action="store_true", help="multiply matrices in bfloat16")
    parser.add_argument("--workers", type=int, default=_PLAN.n_workers, help="processes that make batches ahead")
    parser.add_argument("--device", default="cpu", help="where to train: cpu or cuda")
    parser.add_argument("--width", type=int, help=f"as in the file to begin with, else {_SHAPE.width}")
    parser.add_argument("--layers", type=int, help=f"as in the file to begin with, else {_SHAPE.n_layers}")
    parser.add_argument("--feed-forward", type=int, help=f"as in the file to begin with, else {_SHAPE.feed_forward}")
    parser.add_argument("--vocabulary", type=int, default=_SHAPE.n_vocab)
    parser.add_argument("--cursors", type=int, default=300, help="completions to evaluate, a quarter of them bodies")
    parser.add_argument("--model", type=Path, default=model_path(), help="the GGUF file to evaluate")
    return parser


def _shape(options: argparse.Namespace, first: Shape) -> Shape:
    """What the options say, the rest as in `first`. Heads are 64 wide; every other layer attends."""
    width, n_layers = options.width or first.width, options.layers or first.n_layers
    return replace(
        first,
        width=width,
        n_layers=n_layers,
        feed_forward=options.feed_forward or first.feed_forward,
        n_heads=width // 64,
        attention=tuple(range(1, n_layers, 2)),
    )


def _plan(options: argparse.Namespace) -> Plan:
    return replace(
        _PLAN,
        n_steps=options.steps,
        n_decay=options.decay,
        n_tokens=options.step_tokens,
        matrix_rate=options.rate * _PLAN.matrix_rate,
        vector_rate=options.rate * _PLAN.vector_rate,
        window=options.window,
        long_window=options.long_window,
        seed=options.seed,
        n_threads=options.threads,
        n_processes=options.processes,
        n_workers=options.workers,
        device=options.device,
        is_narrow=options.narrow,
    )


def _collect(options: argparse.Namespace, workspace: Workspace) -> None:
    sites = options.site or [Path(folder) for folder in site.getsitepackages()]
    found = [*packages(sites), *unpacked(options.unpacked or [])]
    files = list(collect(found, _note))
    write_corpus(files, workspace.corpus)
    workspace.manifest.write_text(manifest(files, found), encoding="utf-8")
    _note(f"{len(files)} files, {sum(len(file.text) for file in files) / 1e6:.0f} million characters")


def _tokenizer(options: argparse.Namespace, workspace: Workspace) -> None:
    from scrubjay_training.tokenizer import train_tokenizer

    files = [file for file in read_corpus(workspace.corpus) if not file.held_out]
    sample = Random(options.seed).sample(files, min(_N_TOKENIZER_FILES, len(files)))
    tokenizer = train_tokenizer([file.text for file in sample], options.vocabulary)
    tokenizer.save(str(workspace.tokenizer))
    _note(f"{tokenizer.get_vocab_size()} tokens, from {len(sample)} files")


def _train(options: argparse.Namespace, workspace: Workspace) -> None:
    from scrubjay_training.start import read_shape
    from scrubjay_training.train import train

    first = read_shape(options.start) if options.start else replace(_SHAPE, n_vocab=options.vocabulary)
    train(workspace, _shape(options, first), _plan(options), _note, options.mirror, options.start)


def _export(_options: argparse.Namespace, workspace: Workspace) -> None:
    from scrubjay_training.export import KINDS, export
    from scrubjay_training.learner import load_model
    from scrubjay_training.tokenizer import load_tokenizer

    model, tokenizer = load_model(workspace.checkpoint), load_tokenizer(workspace.tokenizer)
    for kind in KINDS:
        export(model, tokenizer, workspace.gguf(kind), kind)
        _note(f"{workspace.gguf(kind)}: {workspace.gguf(kind).stat().st_size / 1e6:.1f} MB")


def _check(_options: argparse.Namespace, workspace: Workspace) -> None:
    from scrubjay_training.parity import check

    for name, value in check(workspace).items():
        _note(f"{name}: {value}")


def _evaluate(options: argparse.Namespace, workspace: Workspace) -> None:
    from scrubjay_training.evaluate import Sizes, evaluate
    from scrubjay_training.runner import Runner

    sizes = Sizes(n_lines=options.cursors - options.cursors // 4, n_bodies=options.cursors // 4)
    with Runner(options.model) as runner:
        results = evaluate(runner, read_corpus(workspace.corpus), sizes, _note)
    path = workspace.folder / f"{options.model.stem}-results.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _note(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")


_STAGES = {
    "collect": _collect,
    "tokenizer": _tokenizer,
    "train": _train,
    "export": _export,
    "check": _check,
    "evaluate": _evaluate,
}

if __name__ == "__main__":
    sys.exit(main())
