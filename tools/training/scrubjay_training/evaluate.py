"""Last stage: measure the file that ships, through llama.cpp, on packages that it never saw."""

import math
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from statistics import fmean
from typing import get_args

import numpy as np

from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.postprocess import postprocess
from scrubjay.completion.stop_rules import choose_mode
from scrubjay.tokens import as_tokens
from scrubjay_training.collect import HELD_OUT_ELSEWHERE, SourceFile
from scrubjay_training.cursors import Hole, Kind, choose_hole, token_border
from scrubjay_training.examples import Examples, split
from scrubjay_training.languages import SHARES, language_of
from scrubjay_training.places import PlaceKind, place_of
from scrubjay_training.runner import Runner
from scrubjay_training.scores import Completion, ends_in_place, goes_on, is_exact, loops, matches_line, parses
from scrubjay_training.values import END, FILE, PREFIX, REPO, SUFFIX

Note = Callable[[str], None]
_PLACE = 512
_N_CONTEXT, _N_CURRENT = 512, 1024
_MOST_TOKENS = {"rest": 64, "block": 192}
_LINES_BACK = 4
_DRAWS_A_PLACE = 120  # some kinds of place are rare
_PLACE_HOLES: tuple[Kind, ...] = ("rest", "rest", "rest", "block")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much to measure."""

    n_files: int = 25
    n_long: int = 4
    n_tokens: int = 1024
    n_long_tokens: int = 4096
    n_lines: int = 225
    n_bodies: int = 75
    n_pairs: int = 12
    n_a_place: int = 40
    seed: int = 7


@dataclass(frozen=True, slots=True)
class TextScore:
    """How well a text was foreseen: for each of its tokens after the first few, nats and whether it was the likeliest."""

    nats: tuple[float, ...]
    hits: tuple[bool, ...]
    n_characters: int

    @property
    def bits_per_character(self) -> float:
        return sum(self.nats) / math.log(2) / self.n_characters


def evaluate(runner: Runner, files: Sequence[SourceFile], sizes: Sizes, note: Note) -> dict[str, object]:
    """All numbers of the model card, for the held-out ones among `files`."""
    all_held_out = sorted((file for file in files if file.held_out), key=lambda file: (file.package, file.path))
    # A package of C may hold a script in Python: another file would make other cursors of the same random numbers.
    held_out = [
        file for file in all_held_out if language_of(file.path) == "python" and file.package not in HELD_OUT_ELSEWHERE
    ]
    examples = Examples(held_out, runner.encode, runner.specials)
    results: dict[str, object] = {}
    for name, measure in _MEASURES.items():
        results[name] = measure(runner, examples, held_out, sizes)
        note(f"{name}: {results[name]}")
    results["other_languages"] = {
        language: plain_text(runner, examples, others, sizes)
        for language in SHARES
        if language != "python" and (others := [file for file in all_held_out if language_of(file.path) == language])
    }
    note(f"other languages: {results['other_languages']}")
    return results


def score_text(runner: Runner, before: Sequence[int], text: str, n_tokens: int) -> TextScore:
    """How well a text is foreseen behind the tokens `before`; at most `n_tokens` tokens in all."""
    tokens = runner.encode(text)[: n_tokens - len(before)]
    logits = runner.all_logits([*before, *tokens])[len(before) - 1 : -1].astype(np.float64)
    highest = logits.max(axis=1)
    totals = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    nats = totals - logits[np.arange(len(tokens)), tokens]
    hits = logits.argmax(axis=1) == np.array(tokens)
    n_characters = len(b"".join(runner.vocabulary.piece(token) for token in tokens).decode(errors="ignore"))
    return TextScore(tuple(map(float, nats)), tuple(map(bool, hits)), max(n_characters, 1))


def _header(runner: Runner, file: SourceFile) -> list[int]:
    fim = runner.specials
    return [fim[REPO], *runner.encode(f"{file.package}\n"), fim[FILE], *runner.encode(f"{file.path}\n")]


def plain_text(runner: Runner, _examples: Examples, files: Sequence[SourceFile], sizes: Sizes) -> dict[str, float]:
    """Files from their start: next-token accuracy, nats a token, bits a character."""
    chosen = Random(sizes.seed).sample(list(files), min(sizes.n_files, len(files)))
    scores = [score_text(runner, _header(runner, file), file.text, sizes.n_tokens) for file in chosen]
    nats = [value for score in scores for value in score.nats]
    return {
        "next_token_accuracy": round(fmean(hit for score in scores for hit in score.hits), 4),
        "nats_per_token": round(fmean(nats), 4),
        "bits_per_character": round(sum(nats) / math.log(2) / sum(score.n_characters for score in scores), 4),
        "n_tokens": len(nats),
    }


def by_position(runner: Runner, _examples: Examples, files: Sequence[SourceFile], sizes: Sizes) -> list[float]:
    """Nats a token in each stretch of 512 tokens of long files, so that every place has the same files."""
    longest = sorted(files, key=lambda file: -len(file.text))[: sizes.n_long]
    scores = [score_text(runner, _header(runner, file), file.text, sizes.n_long_tokens).nats for file in longest]
    places = range(0, max(map(len, scores)), _PLACE)
    return [round(fmean(value for nats in scores for value in nats[at : at + _PLACE]), 3) for at in places]


def repo_context(runner: Runner, examples: Examples, files: Sequence[SourceFile], sizes: Sizes) -> dict[str, float]:
    """Mean log-likelihood a character of files' beginnings, in nats, with and without other files before them."""
    chosen = Random(sizes.seed + 1).sample(list(files), min(sizes.n_pairs, len(files)))
    totals = {"with_context": 0.0, "without_context": 0.0}
    n_characters = 0
    for i, file in enumerate(chosen):
        path = [runner.specials[FILE], *runner.encode(f"{file.path}\n")]
        text = file.text[:2400]
        for name, budget in (("with_context", 2 * _N_CONTEXT), ("without_context", 0)):
            before = examples.files_before(file, budget, Random(i))
            score = score_text(runner, [*before, *path], text, 4096)
            totals[name] -= sum(score.nats)
        n_characters += len(text)
    return {name: round(total / n_characters, 4) for name, total in totals.items()}


def completions(
    runner: Runner, examples: Examples, files: Sequence[SourceFile], sizes: Sizes, is_healed: bool = False
) -> dict[str, float]:
    """Greedy completions at cursors inside lines and at bodies of functions, with other files before them."""
    lines = _complete_all(runner, examples, files, "rest", sizes.n_lines, sizes.seed + 2, is_healed)
    bodies = _complete_all(runner, examples, files, "block", sizes.n_bodies, sizes.seed + 3, is_healed)
    both = [*lines, *bodies]
    shown = [each for completion in both if (each := as_shown(runner, completion)).written]
    shown_bodies = [completion for completion in shown if completion.hole.kind == "block"]
    return {
        "n_cursors": len(both),
        "goes_on_with_line": _share(goes_on, lines),
        "rest_of_line_exact": _share(matches_line, lines),
        "file_parses_after_line": _share(parses, lines),
        "ends_in_place": _share(ends_in_place, both),
        "free_of_loops": 1 - _share(loops, both),
        "def_bodies_parse": _share(parses, bodies),
        "shown_by_the_rules": round(len(shown) / len(both), 4),
        "shown_free_of_loops": 1 - _share(loops, shown),
        "shown_def_bodies_parse": _share(parses, shown_bodies),
    }


def by_place(
    runner: Runner, examples: Examples, files: Sequence[SourceFile], sizes: Sizes
) -> dict[str, dict[str, float]]:
    """The same, with as many cursors of every kind of place, apart by kind: what fails hides in a mean over all.

    Each is asked for twice, the second time with a prompt that ends where a token begins.
    """
    random = Random(sizes.seed + 4)
    found: dict[PlaceKind, list[Completion]] = {place: [] for place in get_args(PlaceKind)}
    healed: dict[PlaceKind, list[Completion]] = {place: [] for place in get_args(PlaceKind)}
    for _ in range(_DRAWS_A_PLACE * sizes.n_a_place):
        file = random.choice(files)
        hole = choose_hole(file.text, random, random.choice(_PLACE_HOLES))
        place = place_of(file.text, hole) if hole is not None else "body"
        if hole is not None and len(found[place]) < sizes.n_a_place and (place != "body" or _is_body(file.text, hole)):
            same = copy(random)
            found[place].append(complete(runner, examples, file, hole, random))
            healed[place].append(complete(runner, examples, file, hole, same, is_healed=True))
    return {place: _place_scores(runner, found[place], healed[place]) for place in found if found[place]}


def _place_scores(runner: Runner, found: Sequence[Completion], healed: Sequence[Completion]) -> dict[str, float]:
    shown = [each for completion in found if (each := as_shown(runner, completion)).written]
    return {
        "n_cursors": len(found),
        "exact": _share(is_exact, found),
        "file_parses": _share(parses, found),
        "ends_in_place": _share(ends_in_place, found),
        "shown": round(len(shown) / len(found), 4),
        "shown_exact": _share(is_exact, shown),
        "healed_exact": _share(is_exact, healed),
        "healed_ends_in_place": _share(ends_in_place, healed),
    }


def speed(runner: Runner, examples: Examples, _files: Sequence[SourceFile], sizes: Sizes) -> dict[str, float]:
    """Tokens a second, reading a prompt of 1,024 and writing 64."""
    prompt = examples.sequence(1024, Random(sizes.seed)).tokens
    seconds: dict[int, float] = {}
    for n_written in (0, 0, 64):  # the first of them finds everything cold
        begun = time.perf_counter()
        runner.complete(prompt, n_written, ())
        seconds[n_written] = time.perf_counter() - begun
    read, wrote = seconds[0], seconds[64] - seconds[0]
    return {"read_tokens_per_s": round(1024 / read), "written_tokens_per_s": round(64 / max(wrote, 1e-6))}


def _share(is_so: Callable[[Completion], bool], all_of: Sequence[Completion]) -> float:
    return round(fmean(map(is_so, all_of)), 4) if all_of else 0.0


def _complete_all(
    runner: Runner, examples: Examples, files: Sequence[SourceFile], kind: Kind, n: int, seed: int, is_healed: bool
) -> list[Completion]:
    random = Random(seed)
    found: list[Completion] = []
    for _ in range(20 * n):
        if len(found) == n:
            break
        file = random.choice(files)
        hole = choose_hole(file.text, random, kind)
        if hole is not None and (kind == "rest" or _is_body(file.text, hole)):
            found.append(complete(runner, examples, file, hole, random, is_healed))
    return found


def complete(
    runner: Runner, examples: Examples, file: SourceFile, hole: Hole, random: Random, is_healed: bool = False
) -> Completion:
    """Ask as the daemon asks: other files, then the current one, anchored four lines above the cursor.

    Args:
        is_healed: whether the prompt ends where the token before the cursor begins, with which the model then begins.
    """
    start = token_border(file.text, hole.start) if is_healed else hole.start
    parts = split(file.text, replace(hole, start=start), at_cursor=False, n_lines_back=_LINES_BACK)
    typed = file.text[start : hole.start]
    prompt = [
        *examples.files_before(file, _N_CONTEXT, random),
        *examples.prompt(file, parts, _N_CURRENT),
    ]
    stops = {runner.specials[text] for text in (END, FILE, REPO, PREFIX, SUFFIX)}
    written, has_ended = runner.complete(prompt, _MOST_TOKENS.get(hole.kind, 96), stops, typed.encode())
    text = runner.vocabulary.detokenize(as_tokens(written)).removeprefix(typed)
    return Completion(file.text, hole, start + len(parts.answer), text, tuple(written), has_ended)


def as_shown(runner: Runner, completion: Completion) -> Completion:
    """What the daemon's rules leave of a completion, perhaps nothing: what its users meet."""
    place = CursorContext.at(
        completion.text[: completion.hole.start] + completion.text[completion.end :], completion.hole.start, "python"
    )
    text = postprocess(place, choose_mode(place), completion.written).text
    return replace(completion, written=text, tokens=tuple(runner.encode(text)))


def _is_body(text: str, hole: Hole) -> bool:
    """Whether a block's hole is the body of a function."""
    opener = text[: hole.start].rstrip().rsplit("\n", 1)[-1]
    return opener.lstrip().startswith(("def ", "async def "))


_Measure = Callable[[Runner, Examples, Sequence[SourceFile], Sizes], object]
_MEASURES: dict[str, _Measure] = {
    "plain_text": plain_text,
    "by_position": by_position,
    "repo_context": repo_context,
    "completions": completions,
    "completions_healed": partial(completions, is_healed=True),
    "by_place": by_place,
    "speed": speed,
}
