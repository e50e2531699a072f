"""Notebooks: the code cells of one, in their order, are one document of the daemon, so that each sees those before it.

Cells are joined by an empty line. Other cells are documents of their own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scrubjay.positions import Change, Lines, Position, PositionEncoding, split_lines
from scrubjay_lsp.documents import Documents
from scrubjay_lsp.quirks import UNNUMBERED

END_OF_LINE = 2**31 - 1
"""A character beyond the end of its line means that end."""


@dataclass(slots=True)
class Cell:
    """One cell as the editor has it."""

    uri: str
    is_code: bool
    language: str = ""
    version: int = 0
    lines: Lines = field(default_factory=lambda: Lines(""))

    @property
    def text(self) -> str:
        """Its text with one kind of line end, so that the end of a cell never becomes part of a line end after it."""
        return self.lines.text.replace("\r\n", "\n").replace("\r", "\n")

    @property
    def n_lines(self) -> int:
        """Number of lines, the last of which has no end."""
        return len(split_lines(self.lines.text))


class Notebooks:
    """All open notebooks of the editor.

    Args:
        documents: where their texts are kept in step with the daemon's, under the notebooks' URIs.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._cells: dict[str, list[Cell]] = {}
        self._homes: dict[str, str] = {}
        """URIs of notebooks by those of their code cells."""

    def open(self, uri: str, cells: Iterable[Cell]) -> None:
        """The editor has opened it; a second time means new cells."""
        self.close(uri)
        self._cells[uri] = []
        self._splice(uri, 0, 0, cells)
        language = next((cell.language for cell in self._cells[uri] if cell.is_code), "")
        self._documents.open(uri, language, 0, self._text(uri))

    def close(self, uri: str) -> None:
        """The editor has closed it."""
        if uri in self._cells:
            self._splice(uri, 0, len(self._cells[uri]), ())
            del self._cells[uri]
            self._documents.close(uri)

    def splice(self, uri: str, start: int, n_deleted: int, cells: Iterable[Cell]) -> None:
        """`cells` replace the `n_deleted` cells from the one with number `start` on."""
        if uri in self._cells:
            self._splice(uri, start, n_deleted, cells)
            self._documents.change(uri, UNNUMBERED, [Change(self._text(uri))])

    def change(self, uri: str, version: int, changes: Sequence[Change], encoding: PositionEncoding) -> None:
        """The text of the cell with that URI has changed."""
        if (home := self._homes.get(uri)) is None:
            self._documents.change(uri, version, list(changes))
            return
        cell = next(cell for cell in self._cells[home] if cell.uri == uri)
        cell.version = version
        for change in changes:
            moved = self._moved(cell, change)
            cell.lines.apply(change, encoding)
            self._documents.change(home, UNNUMBERED, [moved or Change(self._text(home))])

    def cells(self, uri: str) -> Sequence[Cell]:
        """Those of the notebook `uri`; none if it is not open."""
        return self._cells.get(uri, ())

    def locate(self, uri: str, position: Position) -> tuple[str, Position]:
        """The URI and position by which the daemon knows a position in the document or cell `uri`."""
        if (home := self._homes.get(uri)) is None:
            return uri, position
        cell = next(cell for cell in self._cells[home] if cell.uri == uri)
        return home, self._place(cell, position)

    def version_of(self, uri: str) -> int | None:
        """That of the cell with that URI; None if it is no code cell."""
        home = self._homes.get(uri)
        return next((cell.version for cell in self._cells.get(home or "", ()) if cell.uri == uri), None)

    def _splice(self, uri: str, start: int, n_deleted: int, cells: Iterable[Cell]) -> None:
        old, new = self._cells[uri][start : start + n_deleted], list(cells)
        self._cells[uri][start : start + n_deleted] = new
        for cell in old:
            if self._homes.pop(cell.uri, None) is None:
                self._documents.close(cell.uri)
        for cell in new:
            if cell.is_code:
                self._homes[cell.uri] = uri
            else:
                self._documents.open(cell.uri, cell.language, cell.version, cell.lines.text)

    def _moved(self, cell: Cell, change: Change) -> Change | None:
        """`change` of `cell` as one of its notebook's document; None if only the whole text tells what it does."""
        if change.start is None or change.end is None or "\r" in change.text or "\r" in cell.lines.text:
            return None
        return Change(change.text, self._place(cell, change.start), self._place(cell, change.end))

    def _place(self, cell: Cell, position: Position) -> Position:
        """Where `position` in `cell` is in its notebook's document."""
        first = 0
        for other in self._code(self._homes[cell.uri]):
            if other is cell:
                break
            first += other.n_lines + 1
        last = cell.n_lines - 1
        if position.line > last:
            return Position(first + last, END_OF_LINE)
        return Position(first + max(position.line, 0), position.character)

    def _text(self, uri: str) -> str:
        return "\n\n".join(cell.text for cell in self._code(uri))

    def _code(self, uri: str) -> list[Cell]:
        return [cell for cell in self._cells[uri] if cell.is_code]
