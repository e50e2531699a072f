"""Outlines by the grammars of tree-sitter. For threads: a long text takes tens of milliseconds.

Between slices of the text the interpreter is free for other threads.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from scrubjay.outline.outline import (
    MAX_DEFINITIONS,
    MAX_STATEMENT_LINES,
    Definition,
    Outline,
    by_indentation,
)

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Parser, TreeCursor

MAX_PARSED_CHARACTERS = 1 << 16
"""A longer text is read by its indentation: what follows on the last slice takes as long as the text is long."""
SLICE_BYTES = 4096
MAX_NODES = 200_000
"""So many are looked at in one text."""
GRAMMARS = {
    "python": ("py", "pyi", "pyw"),
    "javascript": ("js", "jsx", "mjs", "cjs"),
    "typescript": ("ts", "mts", "cts"),
    "tsx": ("tsx",),
    "go": ("go",),
    "rust": ("rs",),
    "c": ("c",),
    "cpp": ("h", "hh", "hpp", "hxx", "cc", "cpp", "cxx"),
    "java": ("java",),
    "ruby": ("rb", "rake"),
}
"""The grammars that there are, and the endings of file names for which they are used."""
_BY_ENDING = {ending: grammar for grammar, endings in GRAMMARS.items() for ending in endings}
_FUNCTION_NODES = """function_definition function_declaration generator_function_declaration function_expression
    generator_function arrow_function method_definition method_declaration constructor_declaration function_item method
    singleton_method macro_definition"""
_CONTAINER_NODES = """class_definition class_declaration abstract_class_declaration interface_declaration
    type_alias_declaration internal_module enum_declaration type_spec impl_item struct_item enum_item trait_item mod_item
    union_item struct_specifier class_specifier enum_specifier union_specifier namespace_definition record_declaration
    annotation_type_declaration class module"""
_IMPORT_NODES = """import_statement import_from_statement future_import_statement import_declaration use_declaration
    preproc_include package_clause package_declaration extern_crate_declaration"""
_STATEMENT_NODES = """expression_statement lexical_declaration variable_declaration var_declaration const_declaration
    declaration const_item static_item comment block_comment assignment field_declaration"""
_FUNCTIONS, _CONTAINERS = frozenset(_FUNCTION_NODES.split()), frozenset(_CONTAINER_NODES.split())
_IMPORTS, _STATEMENTS = frozenset(_IMPORT_NODES.split()), frozenset(_STATEMENT_NODES.split())
_WRAPPERS = frozenset({"decorated_definition", "export_statement", "template_declaration", "ambient_declaration"})
_NAMED_BY_PARENT = ("name", "key", "left", "property")


def ending_of(label: str) -> str:
    """What the name of a file ends in, without the dot and in small letters."""
    return PurePosixPath(label).suffix[1:].lower()


def outline_of(label: str, text: str, max_parsed: int = MAX_PARSED_CHARACTERS) -> Outline:
    """What the file `label` with that text consists of; with more than `max_parsed` characters it is not parsed."""
    grammar = _BY_ENDING.get(ending_of(label))
    parser = _parser(grammar) if grammar and len(text) <= max_parsed else None
    return by_indentation(text) if parser is None else _parsed(parser, text)


def _parser(grammar: str) -> "Parser | None":
    """A parser; None where it is not installed, because a platform has no compiled one for example."""
    try:
        from tree_sitter import Parser

        return Parser(_language(grammar))
    except ImportError:
        return None


@cache
def _language(grammar: str) -> "Language":
    from tree_sitter import Language

    module = import_module(f"tree_sitter_{'typescript' if grammar == 'tsx' else grammar}")
    name = f"language_{grammar}" if grammar in ("typescript", "tsx") else "language"
    return Language(getattr(module, name)())


def _parsed(parser: "Parser", text: str) -> Outline:
    data = text.encode(errors="replace")
    tree = parser.parse(lambda at, _: data[at : at + SLICE_BYTES])
    definitions: list[Definition] = []
    imports: list[tuple[int, int]] = []
    tables: list[tuple[int, int]] = []
    modules: list[str] = []
    for node in _nodes(tree.walk()):
        start, end = node.start_point.row, _end(node)
        if node.type in _IMPORTS:
            imports.append((start, end))
            modules.append(_text(node, data))
        elif node.type in _FUNCTIONS or node.type in _CONTAINERS:
            definitions.append(_definition(node, data))
        elif node.type in _STATEMENTS and end - start > MAX_STATEMENT_LINES:
            tables.append((start, end))
    starts = {one.start for one in definitions}
    tables = [table for table in _outermost(tables) if starts.isdisjoint(range(*table))]
    ordered = sorted(definitions, key=lambda one: (one.start, -one.end))[:MAX_DEFINITIONS]
    return Outline(text.count("\n") + 1, tuple(ordered), tuple(imports), tuple(tables), tuple(modules))


def _nodes(cursor: "TreeCursor") -> Iterator["Node"]:
    """The nodes of several lines, and others that say something, in their order; nothing of what is in functions."""
    for _ in range(MAX_NODES):
        node = cursor.node
        assert node is not None  # a cursor is always at one
        is_long = node.end_point.row > node.start_point.row
        is_known = node.type in _FUNCTIONS or node.type in _CONTAINERS or node.type in _IMPORTS
        if (is_long or is_known) and node.is_named and node.parent is not None:
            yield node
        goes_in = is_long and node.type not in _FUNCTIONS and node.type not in _IMPORTS
        if goes_in and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _definition(node: "Node", data: bytes) -> Definition:
    parent = node.parent
    start = parent.start_point.row if parent is not None and parent.type in _WRAPPERS else node.start_point.row
    end, body = _end(node), node.child_by_field_name("body")
    is_leaf = node.type in _FUNCTIONS
    if body is None:
        return Definition(_name(node, data), start, end, end, end, is_leaf)
    # A body in brackets begins after the line with the first of them, and ends before that with the last.
    is_bracketed = data[body.start_byte : body.start_byte + 1] in (b"{", b"(", b"[")
    is_on_own_line = not is_bracketed and body.start_point.row > node.start_point.row
    first = body.start_point.row + (not is_on_own_line)
    last = body.end_point.row if is_bracketed else _end(body)
    return Definition(_name(node, data), start, min(first, end), min(max(first, last), end), end, is_leaf)


def _end(node: "Node") -> int:
    """The line after the last one that the node has a part of."""
    return node.end_point.row + (node.end_point.column > 0 or node.end_point.row == node.start_point.row)


def _name(node: "Node", data: bytes) -> str:
    named = node.child_by_field_name("name") or node.child_by_field_name("type")
    if node.child_by_field_name("name") is None and (declarator := node.child_by_field_name("declarator")):
        while inner := declarator.child_by_field_name("declarator") or declarator.child_by_field_name("name"):
            declarator = inner
        named = declarator
    parent = node.parent
    if named is None and parent is not None:
        named = next(filter(None, map(parent.child_by_field_name, _NAMED_BY_PARENT)), None)
    return _text(named, data) if named is not None else ""


def _text(node: "Node", data: bytes) -> str:
    return data[node.start_byte : node.end_byte].decode(errors="replace")


def _outermost(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges, key=lambda one: (one[0], -one[1])):
        if not found or start >= found[-1][1]:
            found.append((start, end))
    return found
