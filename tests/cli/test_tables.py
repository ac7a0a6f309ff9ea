"""Printing of results: the same tables for people and for programs."""

import csv
import io
import json

import pytest

from ltsi.cli._tables import Format, show
from ltsi.tables import Cell, Entry, Result, Table

NAN = float("nan")
RESULT = Result(
    [
        Table(
            "Models & metrics",
            ["model", "ndcg@10", "users", "note"],
            [
                ["lstm_a", Cell(0.123456, "0.123 ± 0.01", bold=True), 22363, "a|b, c"],
                ["[red]gru[/red]", NAN, None, True],
            ],
            ["Full ranking, 100 % of users."],
        ),
        Table("Second", ["x"], [[0.000123456]]),
    ],
    messages=["Written to runs."],
    figures=["╭─╮"],
    value=0.5,
)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> pytest.CaptureFixture[str]:
    monkeypatch.delenv("COLUMNS", raising=False)
    return capsys


def test_terminal_shows_everything_without_colours_in_a_pipe(printed: pytest.CaptureFixture[str]) -> None:
    show(RESULT, Format.terminal)
    out = printed.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["lstm_a", "0.123", "±", "0.01", "22,363", "a|b,", "c"] in lines
    assert ["[red]gru[/red]", "–", "–", "yes"] in lines
    for said in ("Models & metrics", "Full ranking, 100 % of users.", "╭─╮", "Written to runs.", "0.0001235"):
        assert said in out
    assert "\x1b" not in out


def test_terminal_table_in_a_pipe_is_not_cut(printed: pytest.CaptureFixture[str]) -> None:
    columns = [f"a_rather_long_column_{index}" for index in range(12)]
    show(Result([Table("Wide", columns, [list(range(12))])]), Format.terminal)
    assert any(line.split() == columns for line in printed.readouterr().out.splitlines())


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_shows_all_of_a_table_with_its_names(
    printed: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    numbers = [f"number_{index}" for index in range(9)]
    note = "a note of some length that goes on"
    rows: list[list[Entry]] = [
        [user, entity, *(1000 * n + index for index in range(9)), note]
        for n, (user, entity) in enumerate([("ann", "coffee"), ("bob", "garden")], start=1)
    ]
    show(Result([Table("Wide", ["user", "entity", *numbers, "note"], rows)]), Format.terminal)
    lines = printed.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    told = [line.split() for line in lines]
    heads = [line for line in told if line[:2] == ["user", "entity"]]
    assert [name for line in heads for name in line[2:]] == [*numbers, "note"]
    for user, entity, *values, _ in rows:
        mine = [line[2:] for line in told if line[:2] == [user, entity]]
        assert len(mine) == len(heads) > 1, "every block says whose its rows are"
        assert [word for line in mine for word in line][:9] == [f"{value:,}" for value in values]
        assert note.split()[0] in mine[-1]


def test_json_holds_raw_values(printed: pytest.CaptureFixture[str]) -> None:
    show(RESULT, Format.json)
    captured = printed.readouterr()
    document = json.loads(captured.out)
    assert document["tables"][0]["rows"] == [
        {"model": "lstm_a", "ndcg@10": 0.123456, "users": 22363, "note": "a|b, c"},
        {"model": "[red]gru[/red]", "ndcg@10": None, "users": None, "note": True},
    ]
    assert document["tables"][0]["notes"] == ["Full ranking, 100 % of users."]
    assert document["messages"] == ["Written to runs."]
    assert document["value"] == 0.5
    assert captured.err == "Written to runs.\n"


def test_json_of_a_job_is_one_line(printed: pytest.CaptureFixture[str]) -> None:
    show(RESULT, Format.json, job="job 3 (seed=1)")
    out = printed.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out)["job"] == "job 3 (seed=1)"


def test_csv_separates_tables_by_an_empty_line(printed: pytest.CaptureFixture[str]) -> None:
    show(RESULT, Format.csv)
    first, second = printed.readouterr().out.split("\n\n")
    assert list(csv.reader(io.StringIO(first))) == [
        ["model", "ndcg@10", "users", "note"],
        ["lstm_a", "0.123456", "22363", "a|b, c"],
        ["[red]gru[/red]", "", "", "True"],
    ]
    assert second == "x\n0.000123456\n"


def test_csv_of_a_job_names_it_in_every_row(printed: pytest.CaptureFixture[str]) -> None:
    show(Result([Table("T", ["x"], [[1]])]), Format.csv, job="job 0 (seed=1)")
    assert printed.readouterr().out == "job,x\njob 0 (seed=1),1\n"


def test_markdown(printed: pytest.CaptureFixture[str]) -> None:
    show(RESULT, Format.markdown)
    assert printed.readouterr().out == (
        "### Models & metrics\n\n"
        "| model | ndcg@10 | users | note |\n"
        "| --- | ---: | ---: | --- |\n"
        "| lstm_a | **0.123 ± 0.01** | 22,363 | a\\|b, c |\n"
        "| [red]gru[/red] | – | – | yes |\n"
        "\nFull ranking, 100 % of users.\n"
        "\n"
        "### Second\n\n"
        "| x |\n"
        "| ---: |\n"
        "| 0.0001235 |\n"
    )


def test_latex(printed: pytest.CaptureFixture[str]) -> None:
    show(RESULT, Format.latex, job="job 1 (seed=2)")
    out = printed.readouterr().out
    assert r"\begin{tabular}{lrrl}" in out
    assert r"    lstm\_a & \textbf{0.123 $\pm$ 0.01} & 22,363 & a|b, c \\" in out
    assert r"\caption{Models \& metrics: job 1 (seed=2) Full ranking, 100 \% of users.}" in out
    assert out.count(r"\toprule") == out.count(r"\end{table}") == 2


@pytest.mark.parametrize("format_", Format)
def test_columns_for_programs_are_not_shown_to_people(printed: pytest.CaptureFixture[str], format_: Format) -> None:
    table = Table("T", ["x", "x low", "y"], [[1, 0.25, 2]], data_columns=["x low"])
    show(Result([table]), format_)
    out = printed.readouterr().out
    for_programs = format_ in {Format.json, Format.csv}
    assert ("x low" in out, "0.25" in out) == (for_programs, for_programs)


def test_latex_escapes_what_text_mode_prints_otherwise(printed: pytest.CaptureFixture[str]) -> None:
    show(Result([Table("T", ["p"], [[Cell(0.0001, "<0.001")]])]), Format.latex)
    assert r"    $<$0.001 \\" in printed.readouterr().out


def test_empty_result_prints_nothing(printed: pytest.CaptureFixture[str]) -> None:
    for format_ in (Format.terminal, Format.csv, Format.markdown, Format.latex):
        show(Result(), format_)
    assert printed.readouterr().out == ""


@pytest.mark.parametrize("format_", [Format.terminal, Format.markdown, Format.latex])
def test_control_characters_are_shown_and_do_nothing(printed: pytest.CaptureFixture[str], format_: Format) -> None:
    told = "\x1b[31mred\n\t\x7f\x9b"
    table = Table(f"T {told}", [f"x {told}", "y"], [[told, 1], [Cell(told), 2], [Cell(3, told), 3]], [f"note {told}"])
    show(Result([table], messages=[f"Wrote {told}"], figures=["one line\nand another"]), format_, job=f"job {told}")
    captured = printed.readouterr()
    shown = (captured.out + captured.err).replace(r"\textbackslash{}", "\\")
    assert not {*"\x1b\t\x7f\x9b"} & {*shown}
    assert shown.count(r"\x1b[31mred\n\t\x7f\x9b") >= 5
    assert r"Wrote \x1b[31mred" in shown
    assert format_ is not Format.terminal or "one line\nand another\n" in shown


@pytest.mark.parametrize("format_", [Format.json, Format.csv])
def test_programs_read_control_characters_as_they_are(printed: pytest.CaptureFixture[str], format_: Format) -> None:
    told = "\x1b[31mred\t"
    show(Result([Table("T", ["x"], [[told]])], messages=[told]), format_)
    captured = printed.readouterr()
    read = json.loads(captured.out)["tables"][0]["rows"][0]["x"] if format_ is Format.json else captured.out[2:-1]
    assert read == told
    assert captured.err == "\\x1b[31mred\\t\n"
