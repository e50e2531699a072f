"""Which format a model of next edits has learnt, by its name."""

from scrubjay.nextedit.formats import EditFormat
from scrubjay.nextedit.sweep import Sweep1, Sweep2
from scrubjay.nextedit.zeta import Zeta2, Zeta21

_FORMATS: tuple[tuple[str, EditFormat], ...] = (
    ("sweepnexteditv2", Sweep2()),
    ("sweepv2", Sweep2()),
    ("sweep", Sweep1()),
    ("zeta21", Zeta21()),
    ("zeta2", Zeta2()),
)


def format_for(*names: str) -> EditFormat | None:
    """That of the model which goes by these names, the most telling first; None if none of them tells."""
    for name in names:
        letters = "".join(each for each in name.casefold() if each.isalnum())
        for beginning, form in _FORMATS:
            if beginning in letters:
                return form
    return None
