"""Grammars in llama.cpp's GBNF, written as the Lark grammars of llguidance.

Every character becomes a terminal of its own. llguidance takes the longest terminal that fits, GBNF knows no terminals: with
longer ones `"a"* "ab"` would match nothing.
"""

import itertools
import re
from collections.abc import Iterator

MAX_GRAMMAR_CHARACTERS = 65_536
MAX_NESTING = 50
MAX_RULES = 1000
MAX_REPETITIONS = 100_000

_TOKEN = re.compile(
    r"""[\s]+ | \#[^\r\n]*
    | (?P<rule>[\w-]+)\s*::=
    | (?P<name>[\w-]+)
    | "(?P<literal>(?:\\.|[^"\\])*)"
    | \[(?P<inverse>\^?)(?P<set>(?:\\.|[^\]\\])+)\]
    | \{\s*(?P<least>\d+)\s*(?P<comma>,?)\s*(?P<most>\d*)\s*\}
    | (?P<sign>[().|*+?])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_CHARACTER = re.compile(
    r"\\x([\da-fA-F]{2})|\\u([\da-fA-F]{4})|\\U([\da-fA-F]{8})|\\([nrt\"\\\[\]])|([^\\])", re.DOTALL
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_ANY = r"/[\x{0}-\x{10FFFF}]/"


def lark_of(gbnf: str) -> str:
    """The Lark grammar that matches what the GBNF grammar `gbnf` matches.

    Raises:
        ValueError: it is not valid GBNF with a rule called root, or it is beyond the limits above.
    """
    if len(gbnf) > MAX_GRAMMAR_CHARACTERS:
        raise ValueError(f"The grammar is longer than {MAX_GRAMMAR_CHARACTERS} characters; shorten it.")
    rules: dict[str, list[str]] = {}
    used: set[str] = set()
    body: list[str] | None = None
    for token in _tokens(gbnf):
        if name := token["rule"]:
            body = rules[name] = []
        elif body is None:
            raise ValueError(f"The grammar is not valid GBNF: {token[0]!r} stands before the first rule.")
        else:
            if token["name"]:
                used.add(token["name"])
            body.append(_lark(token))
    if len(rules) > MAX_RULES:
        raise ValueError(f"The grammar has more than {MAX_RULES} rules; simplify it.")
    if "root" not in rules:
        raise ValueError("The grammar is not valid GBNF with a rule called root.")
    if missing := sorted(used - rules.keys()):
        raise ValueError(f"The grammar is not valid GBNF: the rule {missing[0]!r} is used but not defined.")
    return "\n".join(f"{_rule_name(name)}: {_checked(name, body)}" for name, body in rules.items())


def _tokens(gbnf: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(gbnf):
        token = _TOKEN.match(gbnf, at)
        if not token:
            line = gbnf.count("\n", 0, at) + 1
            raise ValueError(f"The grammar is not valid GBNF at {gbnf[at : at + 20]!r} in line {line}.")
        if token.lastgroup:
            yield token
        at = token.end()


def _rule_name(name: str) -> str:
    """What Lark, which takes upper case for terminals, may call the rule."""
    return (
        "start" if name == "root" else "r_" + "".join(c if c.islower() or c.isdigit() else f"_{ord(c)}_" for c in name)
    )


def _lark(token: re.Match[str]) -> str:
    if token["name"]:
        return _rule_name(token["name"])
    if token["literal"] is not None:
        return (
            "(" + " ".join(f"/{_escaped(c)}/" for c in _characters(token["literal"])) + ")"
            if token["literal"]
            else '""'
        )
    if token["set"]:
        return f"/[{token['inverse']}{_ranges(_set_items(token['set']))}]/"
    if token["least"]:
        return _repetition(token)
    return _ANY if token["sign"] == "." else token["sign"]


def _repetition(token: re.Match[str]) -> str:
    least = int(token["least"])
    most = least if not token["comma"] else int(token["most"]) if token["most"] else None
    if max(least, most or 0) > MAX_REPETITIONS:
        raise ValueError(f"The grammar repeats more than {MAX_REPETITIONS} times ({token[0]}); use `*` or `+`.")
    if most is not None and most < least:
        raise ValueError(f"The grammar is not valid GBNF: {token[0]} asks for more than it allows.")
    return f"{{{least},{'' if most is None else most}}}"


def _characters(text: str) -> list[str]:
    return [character for character, _ in _set_items(text)]


def _set_items(text: str) -> list[tuple[str, bool]]:
    """The characters of a literal or a set, and whether each is a bare "-"."""
    items, at = [], 0
    while at < len(text):
        found = _CHARACTER.match(text, at)
        if not found:
            raise ValueError(f"The grammar is not valid GBNF: {text[at : at + 10]!r} is no escape sequence.")
        code = next((group for group in found.groups()[:3] if group), None)
        if code and (int(code, 16) > 0x10FFFF or 0xD800 <= int(code, 16) < 0xE000):
            raise ValueError(f"The grammar is not valid GBNF: {found[0]} is no character.")
        items.append((chr(int(code, 16)) if code else _ESCAPES.get(found[4], found[4]) or found[5], found[0] == "-"))
        at = found.end()
    return items


def _ranges(items: list[tuple[str, bool]]) -> str:
    parts, i = [], 0
    while i < len(items):
        first = items[i][0]
        if i + 2 < len(items) and items[i + 1][1]:
            last = items[i + 2][0]
            if last < first:
                raise ValueError(f"The grammar is not valid GBNF: the range {first}-{last} is empty.")
            parts.append(f"{_escaped(first)}-{_escaped(last)}")
            i += 3
        else:
            parts.append(_escaped(first))
            i += 1
    return "".join(parts)


def _escaped(character: str) -> str:
    if "\ud800" <= character < "\ue000":
        raise ValueError("The grammar holds half a surrogate pair, which is no character.")
    return f"\\x{{{ord(character):X}}}"


def _checked(name: str, body: list[str]) -> str:
    """The expression of a rule; raises ValueError where brackets or repetitions have nothing to hold."""
    depth, before = 0, "("
    for part in body:
        if _repeats(part) and (before in ("(", "|") or _repeats(before)):
            raise ValueError(f"The grammar is not valid GBNF: nothing stands before {part} in the rule {name!r}.")
        depth += (part == "(") - (part == ")")
        if depth < 0 or depth > MAX_NESTING:
            raise ValueError(
                f"The grammar is not valid GBNF: a bracket too many in the rule {name!r}."
                if depth < 0
                else f"The grammar nests more than {MAX_NESTING} brackets in the rule {name!r}; give the inner ones names."
            )
        before = part
    if depth:
        raise ValueError(f"The grammar is not valid GBNF: a bracket is not closed in the rule {name!r}.")
    return " ".join([*_with_empty(body)][:-1])


def _repeats(part: str) -> bool:
    return part in ("*", "+", "?") or part.startswith("{")


def _with_empty(body: list[str]) -> Iterator[str]:
    """`body` with "" where GBNF leaves an alternative empty."""
    for before, part in itertools.pairwise(("(", *body, ")")):
        if before in ("(", "|") and part in ("|", ")"):
            yield '""'
        yield part
