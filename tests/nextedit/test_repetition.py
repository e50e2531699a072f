"""What is proposed after an edit, and what is not."""

import pytest

from scrubjay.nextedit.suggestions import Suggestions
from tests.nextedit.session import A, B, Session
from tests.support.growth import calls_of

FUNCTION = """\
def area(width, height):
    if width < 0:
        raise ValueError("width")
    # The width comes first.
    return width * height


def other(width):
    return width
"""


def test_the_uses_of_a_renamed_parameter_are_next() -> None:
    session = Session(FUNCTION)
    session.edit("width", "breadth")
    assert session.accept_all() == ["    if breadth < 0:", "    return breadth * height"]
    assert session.texts[A].count("width") == 4  # in a string, in a comment, and in another function


def test_the_uses_of_a_renamed_function_are_next() -> None:
    session = Session("def load(path):\n    return path\n\n\nx = load(1)\nloader = x.load\ny = load(2)\n")
    session.edit("load", "read")
    assert session.accept_all() == ["x = read(1)", "y = read(2)"]


def test_the_uses_of_a_renamed_method_are_next() -> None:
    session = Session("class A:\n    def get(self):\n        get = 1\n\n    def use(self):\n        self.get()\n")
    session.edit("get", "fetch")
    assert session.accept_all() == ["        self.fetch()"]


def test_a_name_inside_of_another_is_not_meant() -> None:
    session = Session("count = 1\ncounter = count_all(discount)\n")
    session.edit("count", "total")
    assert session.proposal() is None


def test_a_new_name_that_stood_elsewhere_is_no_rename() -> None:
    session = Session("width = 1\nheight = 2\nprint(width, height)\n")
    session.edit("width", "height")
    assert session.proposal() is None


def test_an_old_name_that_is_still_defined_stays() -> None:
    session = Session("if a:\n    value = 1\nelse:\n    value = 2\nprint(value)\n")
    session.edit("value", "result")
    assert session.proposal() is None


def test_one_use_is_no_rename() -> None:
    session = Session("print(width)\nprint(width)\n")
    session.edit("width", "height")
    assert session.proposal() is None


def test_a_name_replaced_twice_is_replaced_again() -> None:
    session = Session("f(alpha)\ng(1, alpha)\nh(alpha, 2)\ni(x.alpha)\n")
    session.edit("alpha", "beta")
    session.edit("alpha", "beta")
    assert session.accept_all() == ["h(beta, 2)"]


def test_a_name_replaced_in_two_functions_is_replaced_in_others_only_between_the_same() -> None:
    session = Session("".join(f"def f{n}(a):\n    return {n} + Dict[a][{n}]\n\n\n" for n in range(3)))
    session.edit("Dict", "Mapping")
    session.edit("Dict", "Mapping")
    assert session.accept_all() == ["    return 2 + Mapping[a][2]"]
    session = Session("def f(a):\n    return Dict[a]\n\n\ndef g(a):\n    Dict(a)\n\n\ndef h(a):\n    return Dict[a]\n")
    session.edit("Dict", "Mapping")
    session.edit("Dict", "Mapping")
    assert session.proposal() is None


def test_other_files_are_next_after_three_or_where_one_was_there() -> None:
    lines = "".join(f"x{n}: Optional[int] = {n}\n" for n in range(3))
    session = Session(lines.replace("x2: Optional[int]", "x2: str"), b_py=lines)
    session.edit("Optional[int]", "int | None")
    session.edit("Optional[int]", "int | None")
    assert session.proposal() is None
    session.edit("Optional[int]", "int | None", path=B)
    assert session.accept_all() == ["x1: int | None = 1", "x2: int | None = 2"]
    session = Session(lines, b_py=lines)
    session.edit("Optional[int]", "int | None")
    session.edit("Optional[int]", "int | None")
    assert len(session.accept_all()) == 1 + 3


def test_a_comment_is_not_next_in_another_file_after_code() -> None:
    lines = "".join(f"x{n} = [] + List[int]({n})\n" for n in range(3))
    session = Session(lines, b_py="x = []  # [] + List[int]()\n")
    session.edit("List", "list")
    session.edit("List", "list")
    assert session.accept_all() == ["x2 = [] + list[int](2)"]


def test_a_pattern_that_fits_what_was_done_otherwise_is_none() -> None:
    lines = "".join(f"def f{n}(self, value):\n    pass\n" for n in range(5))
    session = Session(lines)
    session.edit("def f0(self, value):", "def f0(self, value: int):")
    session.edit("def f1(self, value):", "def f1(self, value: str):")
    session.edit("def f2(self, value):", "def f2(self, value: str):")
    assert session.proposal() is None
    session = Session(lines)
    session.edit("def f1(self, value):", "def f1(self, value: str):")
    session.edit("def f2(self, value):", "def f2(self, value: str):")
    assert session.accept_all()[0] == "def f3(self, value: str):"


def test_a_place_that_the_user_came_by_ends_it() -> None:
    lines = ["z = 1\n", *(f"x{n} = [] + List[int]({n})\n" for n in range(5))]
    session = Session("".join(lines))
    session.edit("z = 1", "zz = 1")
    session.edit("List", "list", nth=1)
    session.edit("List", "list", nth=1)
    assert session.proposal() is None  # x0 was left as it is
    session = Session("".join(lines))
    session.edit("List", "list", nth=1)
    session.edit("List", "list", nth=1)
    assert session.accept_all()[0] == "x3 = [] + list[int](3)"


def test_a_name_that_its_own_line_still_uses_is_no_rename() -> None:
    session = Session("def f(args):\n    args = list(args)\n    return args[0], args[1]\n")
    session.edit("args = list", "rest = list")
    assert session.proposal() is None


def test_an_insertion_in_other_files_waits_for_one_there() -> None:
    lines = "".join(f"x{n} = make(flag, {n}, one)\n" for n in range(3))
    session = Session(lines, b_py=lines)
    session.edit(", one)", ", one, two)")
    session.edit(", one)", ", one, two)")
    assert len(session.accept_all()) == 1
    session.edit(", one)", ", one, two)", path=B)
    assert len(session.accept_all()) == 2


def test_no_word_is_taken_out_because_others_were() -> None:
    session = Session("f(x=1, one=2)\nf(x=2, two=3)\nf(x=3, three=4)\n")
    session.edit("one=", "")
    session.edit("two=", "")
    assert session.proposal() is None


def test_words_of_the_language_are_enough_to_tell_a_statement() -> None:
    session = Session("".join(f"\nfrom .{name} import x\n" for name in ("one", "two", "three", "four")))
    session.edit("from .", "from package.")
    session.edit("from .", "from package.")
    assert session.accept_all()[:1] == ["from package.three import x"]


def test_an_argument_added_twice_is_added_again() -> None:
    session = Session("a = make(1, 2)\nb = make(3, 4)\nc = make(5, 6)\nd = build(5, 6)\ne = make(7, 8)\n")
    session.edit("make(1, 2)", "make(1, 2, strict=True)")
    assert session.proposal() is None
    session.edit("make(3, 4)", "make(3, 4, strict=True)")
    assert session.accept_all() == ["c = make(5, 6, strict=True)", "e = make(7, 8, strict=True)"]


def test_words_that_differ_are_carried_over() -> None:
    session = Session("super(Foo, self).f()\nsuper(Bar, self).f()\nsuper(Baz, self).f()\nsuper(Baz, other).f()\n")
    session.edit("Foo, self", "")
    session.edit("Bar, self", "")
    assert session.accept_all() == ["super().f()"]
    session = Session("x: Optional[int] = 1\ny: Optional[str] = 2\nz: Optional[Foo] = 3\n")
    session.edit("Optional[int]", "int | None")
    session.edit("Optional[str]", "str | None")
    assert session.accept_all() == ["z: Foo | None = 3"]


def test_a_place_that_was_passed_over_on_purpose_ends_it() -> None:
    session = Session("".join(f"x{n}: Optional[int] = {n}\n" for n in range(4)))
    session.edit("Optional[int]", "int | None", nth=0)
    session.edit("Optional[int]", "int | None", nth=1)
    assert session.proposal() is None


def test_the_direction_is_that_of_the_user() -> None:
    session = Session("a = f(1).items\nb = f(2).items\nc = f(3).items\nd = f(4).items\n")
    session.edit("f(4).items", "f(4).pairs")
    session.edit("f(3).items", "f(3).pairs")
    assert session.accept_all() == ["b = f(2).pairs", "a = f(1).pairs"]


def test_brackets_stay_balanced() -> None:
    session = Session("a: Optional[int] = 1\nb: Optional[str] = 1\nc: Optional[int] = 1\n")
    session.edit("Optional[int", "int")
    session.edit("Optional[str", "str")
    assert session.proposal() is None


def test_an_equal_line_is_next_here_and_after_two_in_other_files() -> None:
    line = "    logger.warning('cannot read %s', path)\n"
    session = Session(f"if a:\n{line}else:\n{line}", b_py=f"if x:\n{line}", c_txt=line)
    session.edit("cannot read", "could not read")
    assert session.accept_all() == ["    logger.warning('could not read %s', path)"] * 2
    assert "could not" in session.texts[B]
    session = Session(f"if a:\n{line}", b_py=f"if x:\n{line}")
    session.edit("cannot read", "could not read")
    assert session.proposal() is None


def test_an_equal_line_is_not_next_at_another_depth_or_in_prose() -> None:
    line = "    logger.warning('cannot read %s', path)\n"
    session = Session(f"if a:\n{line}    if b:\n    {line}")
    session.edit("cannot read", "could not read")
    assert session.proposal() is None
    prose = "    # no file of this name can be read here\n"
    session = Session(f"if a:\n{prose}    x = 1\nelse:\n{prose}    x = 2\n")
    session.edit("can be read", "is to be read")
    assert session.proposal() is None


def test_a_line_of_a_signature_is_none() -> None:
    session = Session("    name: Optional[str] = None,\n    name: Optional[str] = None,\n")
    session.edit("name: Optional[str]", "name: Union[Optional[str], int]")
    assert session.proposal() is None


def test_inserted_lines_get_the_indentation_of_their_place() -> None:
    block = "with open(path) as file:\n    data = file.read()\n"
    text = block + "if x:\n" + "".join(f"    {line}\n" for line in block.splitlines()) + block
    session = Session(text)
    session.edit("    data = file.read()\n", "    check(file)\n    data = file.read()\n", nth=0)
    at = session.texts[A].index("        data = file")
    session.replace(A, at, at, "        check(file)\n")
    assert session.accept_all() == ["    check(file)\n    data = file.read()"] or session.texts[A].count("check") >= 2


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_are_kept(end: str) -> None:
    session = Session(FUNCTION.replace("\n", end))
    session.edit("width", "breadth")
    session.accept_all()
    assert session.texts[A].count(end) == FUNCTION.count("\n")
    assert session.texts[A].count("breadth") == 3


def test_its_work_does_not_grow_with_the_file() -> None:
    def n_calls(n_lines: int) -> int:
        lines = [f"    value_{n} = compute(value_{n - 1}, width, height)  # step {n}\n" for n in range(n_lines)]
        session = Session("def f(width, height):\n" + "".join(lines) + "    return width\n")
        session.edit("f(width", "f(breadth")
        moment = session.moment()
        session.suggestions.suggest(moment)
        return calls_of(lambda: Suggestions().suggest(moment))

    assert n_calls(5000) < 1.2 * n_calls(500)
