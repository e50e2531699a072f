"""What a grammar allows: GBNF against regular expressions, JSON schemas of real tools, and refusals of all sorts."""

import json
import re
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.llama.gbnf import MAX_GRAMMAR_CHARACTERS, MAX_NESTING, lark_of
from scrubjay.llama.grammar import MAX_SCHEMA_CHARACTERS, Constraint, trie_of

END = 256
BYTES = [*(bytes([byte]) for byte in range(256)), b""]
TRIE = trie_of(BYTES, {END}, lambda text: list(text.encode()))

Json = dict[str, object]


def constraint(grammar: str = "", schema: object = None) -> Constraint:
    return Constraint(
        TRIE, len(BYTES), grammar, "" if grammar else schema if isinstance(schema, str) else json.dumps(schema)
    )


def matches(text: str, grammar: str = "", schema: object = None) -> bool:
    """Whether `text`, byte by byte, is allowed, and may end."""
    state = constraint(grammar, schema)
    for byte in text.encode():
        if state.is_complete or not state.allowed()[byte]:
            return False
        state.accept(byte)
    return state.is_complete or bool(state.allowed()[END])


@st.composite
def patterns(draw: st.DrawFn, depth: int = 3) -> tuple[str, str]:
    """GBNF and a regular expression that say the same."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        text = draw(st.text("ab-]\\^\n.", max_size=3))
        return json.dumps(text), f"(?:{re.escape(text)})"
    kind = draw(st.sampled_from(["set", "sequence", "choice", "repeat", "any"]))
    if kind == "any":
        return ".", "(?s:.)"
    if kind == "set":
        sign, members = (
            draw(st.sampled_from(["", "^"])),
            draw(st.sampled_from(["a-b", r"ab\]", r"\\x\n", r"b\x61-", "-a"])),
        )
        return f"[{sign}{members}]", f"[{sign}{members}]"
    if kind == "repeat":
        inner = draw(patterns(depth - 1))
        sign = draw(st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}"]))
        return f"({inner[0]}){sign}", f"(?:{inner[1]}){sign}"
    parts = draw(st.lists(patterns(depth - 1), min_size=1, max_size=3))
    between = " | " if kind == "choice" else "  "
    return f"({between.join(p[0] for p in parts)})", f"(?:{between.strip(' ').join(p[1] for p in parts)})"


@pytest.mark.slow
@given(patterns(), st.lists(st.text("abx-]\\^\n.", max_size=6), min_size=1, max_size=10))
def test_gbnf_matches_what_the_same_regular_expression_matches(pattern: tuple[str, str], texts: list[str]) -> None:
    gbnf, regex = pattern
    for text in texts:
        assert matches(text, f"root ::= {gbnf}") == bool(re.fullmatch(regex, text)), (gbnf, text)


@pytest.mark.parametrize(
    ("grammar", "right", "wrong"),
    [
        ('root ::= "a"* "ab"', ["ab", "aaab"], ["aa", "b"]),
        ('root ::= x y\nx ::= [a-z]*\ny ::= "x"', ["x", "abcx", "xx"], ["abc"]),
        ('root ::= "(" root ")" | ""', ["", "(())"], ["(()", ")"]),
        ('root ::= root "a" | "a"', ["a", "aaa"], ["", "ab"]),
        ("root ::= | other-Rule\nother-Rule ::= [^\\x00-\\x1F] # the rest\n", ["", "é", "漢"], ["\n", "ab"]),
        ('root ::= "\\u00e9" "\\U0001F600" "\\"\\\\\\t"', ['é\U0001f600"\\\t'], ["é"]),
        ('root ::= "a"\n  | "b"\n\n#end', ["a", "b"], ["ab"]),
        ('root ::= "a"{3} "b"{1,} "c"{0,2}', ["aaab", "aaabbcc"], ["aab", "aaabccc"]),
    ],
)
def test_gbnf_means_what_llama_cpp_says_it_means(grammar: str, right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if not matches(text, grammar)] == []
    assert [text for text in wrong if matches(text, grammar)] == []


@pytest.mark.parametrize(
    ("grammar", "sentence"),
    [
        ("root ::= (", "not closed"),
        ('root ::= "a")', "a bracket too many"),
        ('other ::= "x"', "with a rule called root"),
        ("root ::= missing", "'missing' is used but not defined"),
        ('"a"', "before the first rule"),
        ('root ::= "a', "line 1"),
        ('root ::= "a"\n\nx ::= %', "line 3"),
        ("root ::= [z-a]", "range z-a is empty"),
        ("root ::= *", "nothing stands before"),
        ('root ::= "\\q"', "no escape sequence"),
        ('root ::= "\\uD800"', "no character"),
        ('root ::= "a"{3,1}', "asks for more than it allows"),
        ('root ::= "a"{1,1000000000}', "repeats more than"),
        ('root ::= "' + "a" * MAX_GRAMMAR_CHARACTERS + '"', "is longer than"),
        ("root ::= " + "(" * (MAX_NESTING + 1) + '"a"' + ")" * (MAX_NESTING + 1), "nests more than"),
        ("", "with a rule called root"),
    ],
)
def test_a_wrong_grammar_is_refused_in_a_sentence(grammar: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        lark_of(grammar)


TOOL: Json = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "minLength": 1, "maxLength": 65536},
        "limit": {"type": ["integer", "null"]},
    },
    "required": ["path"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        (True, ["1", '{"a":[]}'], ["x"]),
        ({}, ["null"], ["nul"]),
        ({"type": "object", "properties": {}}, ["{}", '{"a":1}'], ["[]"]),
        ({"type": "string", "maxLength": 65536}, ['"abc"'], ["1"]),
        ({"type": "string", "pattern": "\\S"}, ['"a"', '" b "'], ['" "']),
        ({"type": "string", "pattern": "^[a-z]+$"}, ['"ab"'], ['"a1"']),
        ({"type": "string", "format": "iso-flux"}, ['"x"'], ["1"]),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, ["12"], ['"1"']),
        (
            {
                "$ref": "#/$defs/n",
                "$defs": {
                    "n": {
                        "type": "object",
                        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}},
                        "additionalProperties": False,
                    }
                },
            },
            ["{}", '{"next":{"next":null}}'],
            ['{"next":1}', '{"a":1}'],
        ),
        (TOOL, ['{"path":"a"}', '{"path":"a","limit":null}'], ["{}", '{"path":""}', '{"path":"a","limit":1.5}']),
        (
            {"type": "object", "properties": {'"q"': {"type": "number"}, "": {}, "a\nb": {}}},
            ['{"\\"q\\"":1}'],
            ["{q:1}"],
        ),
        ({"type": "integer", "minimum": 0, "maximum": 10**40}, ["0", "9" * 15], ["-1", "1" + "0" * 41]),
        ({"enum": ["a", 1, None, True, {"b": 2}]}, ['"a"', "null", '{"b":2}'], ["2"]),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 5000}, ["[1,2]"], ["[1]"]),
        ({"type": "object", "propertyNames": {"type": "string"}}, ['{"a":1}'], ["1"]),
        (
            {"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"type": "number"}},
            ['"ab"', "1"],
            ['"a"', "null"],
        ),
        ({"type": "array", "uniqueItems": False}, ["[1,1]"], ["1"]),
        ({"const": {"not": 1, "if": 2}}, ['{"not":1,"if":2}'], ["1"]),
        (
            {"type": "object", "properties": {"if": {"type": "integer"}}, "required": ["if"]},
            ['{"if":1}'],
            ['{"if":"a"}', "{}"],
        ),
    ],
)
def test_json_schemas_of_real_tools_are_followed(schema: object, right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if not matches(text, schema=schema)] == []
    assert [text for text in wrong if matches(text, schema=schema)] == []


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        (False, "false"),
        (5, "not an object"),
        ({"type": "nonsense"}, "nonsense"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "object", "properties": {"a": {"contains": {}}}}, "contains"),
        ({"$ref": "#/definitions/missing"}, "/definitions/missing"),
        ({"$ref": "https://example.invalid/schema.json"}, "https://example.invalid/schema.json"),
        ({"type": "string", "pattern": "^(?!x).*$"}, "look-ahead"),
        ({"enum": []}, "empty"),
        ({"enum": ["a" * MAX_SCHEMA_CHARACTERS]}, "more than"),
    ],
)
def test_a_json_schema_that_cannot_be_followed_is_refused_by_name(schema: object, named: str) -> None:
    with pytest.raises(ValueError, match=f"JSON schema.*{re.escape(named)}.*simplify it"):
        constraint(schema=schema)


def chain(link: str, n: int) -> str:
    """The text of a schema with `n` definitions, each made of the next by `link`."""
    definitions = ",".join(f'"d{i}":' + link.replace("NEXT", f'{{"$ref":"#/$defs/d{i + 1}"}}') for i in range(n))
    return f'{{"$ref":"#/$defs/d0","$defs":{{{definitions},"d{n}":{{"type":"string"}}}}}}'


BOMBS: dict[str, tuple[str, object]] = {
    "deep items": ("", '{"items":' * 5000 + "{}" + "}" * 5000),
    "deep choices": ("", '{"anyOf":[' * 120 + "{}" + "]}" * 120),
    "chain": ("", chain("NEXT", 2000)),
    "chain of objects": ("", chain('{"type":"object","properties":{"a":NEXT},"required":["a"]}', 990)),
    "chain of choices": ("", chain('{"anyOf":[{"type":"object","properties":{"a":NEXT}},{"type":"null"}]}', 990)),
    "chain of arrays": ("", chain('{"type":"array","items":NEXT,"minItems":1}', 990)),
    "tree": ("", chain('{"type":"object","properties":{"a":NEXT,"b":NEXT},"required":["a","b"]}', 490)),
    "all of a tree": ("", chain('{"allOf":[NEXT,NEXT]}', 490)),
    "conditions": (
        "",
        {"allOf": [{"oneOf": [{"properties": {f"p{i}": {"const": j}}} for j in range(9)]} for i in range(20)]},
    ),
    "nested repetitions": ("", {"type": "string", "pattern": "^((((a{1,100}){1,100}){1,100}){1,100})$"}),
    "ambiguous pattern": ("", {"type": "string", "pattern": "^(.*a){200}(.*b){200}$"}),
    "long lists": ("", {"type": "array", "minItems": 10**9, "maxItems": 10**12}),
    "long strings": ("", {"type": "string", "minLength": 10**9}),
    "many names": (
        "",
        {"type": "object", "properties": {f"p{n}": {"type": "string", "maxLength": 999} for n in range(2000)}},
    ),
    "itself": ("", {"$ref": "#"}),
    "all of itself": ("", {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}),
    "gbnf, deep": ("root ::= " + "(" * MAX_NESTING + '"a"' + ")*" * MAX_NESTING, None),
    "gbnf, chain": ("root ::= a0\n" + "\n".join(f"a{n} ::= a{n + 1}" for n in range(990)) + '\na990 ::= "a"', None),
    "gbnf, doubling": (
        "root ::= a0\n" + "\n".join(f"a{n} ::= a{n + 1} a{n + 1}" for n in range(60)) + '\na60 ::= "a"?',
        None,
    ),
    "gbnf, repetitions": ('root ::= (((("a"?){0,999}){0,999}){0,999}){0,999}', None),
    "gbnf, huge": ('root ::= "a"{0,99999} "b"{99999}', None),
    "gbnf, itself": ("root ::= root root | root", None),
    "gbnf, ambiguous": ('root ::= (root root | "a" | "")*', None),
    "gbnf, sets": ("root ::= " + " ".join("[^a-z0-9]" for _ in range(5000)), None),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_followed_or_refused_soon(name: str) -> None:
    """A second is generous: what is bounded takes some 50 ms, what was not took minutes or the process."""
    grammar, schema = BOMBS[name]
    begun = perf_counter()
    try:
        state = constraint(grammar, schema)
        for _ in range(8):
            allowed = state.allowed()
            if state.is_complete or not allowed[:END].any():
                break
            state.accept(int(np.flatnonzero(allowed[:END])[0]))
    except ValueError as refused:
        assert "grammar" in str(refused)
    assert perf_counter() - begun < 5
