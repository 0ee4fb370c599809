"""python -m scripts: what it prints and with which code it ends."""

import sys
from types import ModuleType

import pytest

from scripts import __main__ as command_line


class WordsError(ValueError):
    """An error of ours: something the user gave cannot be used."""


WordsError.__module__ = "scripts.somewhere"


def work(source: str, out: str = "there", number: int = 1, by: str | None = None, at: float | None = None) -> str:
    """Does some work."""
    if source == "bad":
        raise WordsError("bad: not good")
    if source == "missing":
        raise FileNotFoundError("missing: no such file")
    if source == "bug":
        raise ValueError("a bug")
    if source == "interrupted":
        raise KeyboardInterrupt
    work.calls.append((source, out, number) if by is None else (source, by, at))
    return f"wrote {out}"


work.calls = []


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("a_module")
    module.work = work
    monkeypatch.setitem(sys.modules, "a_module", module)
    monkeypatch.setitem(command_line.COMMANDS, "work", ("a_module", "work", "works"))
    work.calls.clear()


def test_a_command_gets_its_arguments_and_its_answer_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["work", "in", "--number", "3"]) == 0
    assert work.calls == [("in", "there", 3)]
    assert capsys.readouterr().out == "wrote there\n"


@pytest.mark.parametrize("name", ["101", "0012", "1e5", "1_000", "True", "None", "[1]"])
def test_a_folder_may_have_any_name(name: str) -> None:
    assert command_line.main(["work", name, f"--out={name}"]) == 0
    assert work.calls == [(name, name, 1)]


def test_an_optional_text_stays_text_and_an_optional_number_becomes_one() -> None:
    assert command_line.main(["work", "in", "--by", "101", "--at", "2.5"]) == 0
    assert work.calls == [("in", "101", 2.5)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["in", "--unknown", "3"],
        ["in", "out", "1", "2", "3", "one too many"],
        [],
        ["in", "--number", "x"],
        ["in", "--number", "1.5"],
        ["in", "--number", "True"],
        ["in", "--at", "soon"],
    ],
)
def test_arguments_that_do_not_fit_end_with_2_before_any_work(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        command_line.main(["work", *arguments])
    assert end.value.code == 2
    assert "ERROR" in capsys.readouterr().err
    assert work.calls == []


@pytest.mark.parametrize(
    ("source", "line"), [("bad", "error: bad: not good"), ("missing", "error: missing: no such file")]
)
def test_input_that_cannot_be_used_ends_with_1_and_one_line(
    source: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["work", source]) == 1
    assert capsys.readouterr().err == line + "\n"


def test_an_interruption_ends_with_130_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["work", "interrupted"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="a bug"):
        command_line.main(["work", "bug"])


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["--help"]) == 0
    assert "convert" in capsys.readouterr().out
    assert command_line.main(["nonsense"]) == 2
    assert "no command 'nonsense'" in capsys.readouterr().err
