"""`refinesr study` and `refinesr fool-rate` in this process: from a report to rates."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from reports import noisy, report_of, scene

TRUTHS = {str(k): scene(seed=k) for k in range(4)}


@pytest.fixture
def report() -> Path:
    few, many = ({name: noisy(truth, levels) for name, truth in TRUTHS.items()} for levels in (4, 20))
    return report_of(Path("report"), TRUTHS, {"few": few, "many": many})


def asked_in(page: str) -> dict[str, Any]:
    text = Path(page).read_text(encoding="utf-8").partition('id="study">')[2].partition("</script>")[0]
    found: dict[str, Any] = json.loads(text)
    return found


def answered(page: str, number: int, left: int) -> dict[str, Any]:
    """As its script would, of a subject who took the left picture so often; the truth was always there."""
    study = asked_in(page)
    answers = [
        {
            "image": image["name"],
            "method": study["methods"][place % 2],
            "chose": "truth" if place < left else "method",
            "side": "left" if place < left else "right",
            "milliseconds": 3210,
        }
        for place, image in enumerate(study["images"])
    ]
    names = {name: study[name] for name in ("format", "study", "task")}
    return names | {"subject": f"{number:032x}", "answers": answers}


def save(page: str, *lefts: int) -> Path:
    folder = Path("answers")
    folder.mkdir()
    for number, left in enumerate(lefts):
        text = json.dumps(answered(page, number, left))
        (folder / f"{number}.json").write_text(text, encoding="utf-8")
    return folder


def test_a_report_becomes_a_page_of_all_methods(refinesr: Command, report: Path) -> None:
    ran = refinesr("study", report, "-o", "study.html")
    assert (ran.code, ran.err) == (0, "")
    size = f"{Path('study.html').stat().st_size / 2**20:.2f}"
    assert ran.out == f"study.html: 4 pairs of 4 pictures for each subject, 2 methods, {size} MiB\n"
    study = asked_in("study.html")
    assert (study["task"], study["seconds"], study["trials"], study["methods"]) == (
        "better",
        3,
        4,
        ["few", "many"],
    )


def test_task_methods_trials_and_seconds_are_asked_for(refinesr: Command, report: Path) -> None:
    words = ("--task", "camera", "--methods", "many", "--trials", "3", "--seconds", "1.5")
    ran = refinesr("study", report, "-o", "study.html", *words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("study.html: 3 pairs of 4 pictures for each subject, 1 method, ")
    study = asked_in("study.html")
    assert (study["task"], study["seconds"], study["trials"], study["methods"]) == (
        "camera",
        1.5,
        3,
        ["many"],
    )


@pytest.mark.parametrize("name", ["page.html", "pictures/few/new.html"])
def test_a_page_is_none_of_the_reports_files(refinesr: Command, report: Path, name: str) -> None:
    (report / "page.html").write_text("the report's")
    page = report / name
    ran = refinesr("study", report, "-o", page, "--overwrite")
    message = f"--output: {page}: belongs to the report report; choose another name\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)
    assert (report / "page.html").read_text() == "the report's"
    assert refinesr("study", report, "-o", report / "study.html").code == 0


def test_a_page_that_is_there_is_kept(refinesr: Command, report: Path) -> None:
    page = Path("study.html")
    page.write_text("mine")
    ran = refinesr("study", report, "-o", page)
    assert (ran.code, ran.out, ran.err) == (2, "", "study.html exists; --overwrite replaces it\n")
    assert page.read_text() == "mine"
    assert refinesr("study", report, "-o", page, "--overwrite").code == 0
    assert page.read_text() != "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "study.png"), "--output: study.png: suffix '.png' is not .html or .htm"),
        (("-o", "no/study.html"), "--output: no/study.html: there is no folder no"),
        (("-o", "s.html", "--methods", "one"), "--methods: 'one' is not one of few, many"),
        (("-o", "s.html", "--trials", "0"), "--trials: 0 is not positive"),
        (("-o", "s.html", "--seconds", "-1"), "--seconds: -1 is not above 0, and an hour at most"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    refinesr: Command, report: Path, words: tuple[str, ...], message: str
) -> None:
    ran = refinesr("study", report, *words)
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")
    assert list(Path().rglob("*.html")) == []


def test_a_folder_without_a_report_is_one_line(refinesr: Command) -> None:
    ran = refinesr("study", "nothing", "-o", "study.html")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "nothing/report.json: cannot be read: No such file or directory\n"


def test_answers_become_rates(refinesr: Command, report: Path) -> None:
    """Of 2 subjects who took the truth thrice and once: `few` fooled the second once, `many` both, thrice."""
    refinesr("study", report, "-o", "study.html")
    ran = refinesr("fool-rate", save("study.html", 3, 1), "--json", "rates.json")
    assert (ran.code, ran.err) == (0, "")
    question, head, many, few, left, *notes = ran.out.splitlines()
    assert question.startswith(
        "Which of the two images is a better high quality version of the low resolution"
    )
    assert question.endswith(f" 2 subjects, study {asked_in('study.html')['study'][:12]}")
    assert head.split("  ") == ["method", "fool rate", "95 % interval", "", "subjects", "choices"]
    assert many.split() == ["many", "75.0%", "50.0%", "to", "100.0%", "2", "4"]
    assert few.split() == ["few", "25.0%", "0.0%", "to", "50.0%", "2", "4"]
    assert left == "left picture chosen: 50.0% of 8, 25.0% to 75.0%"
    assert len(notes) == 2
    assert "50 %: indistinguishable from the original" in notes[0]
    assert notes[1] == "interval: by bootstrap over subjects; unreliable for 2 subjects; ask more people"
    rates = json.loads(Path("rates.json").read_text())
    assert rates == {
        "study": asked_in("study.html")["study"],
        "task": "better",
        "subjects": 2,
        "methods": [
            {"name": "many", "rate": 0.75, "low": 0.5, "high": 1.0, "subjects": 2, "fooled": 3, "choices": 4},
            {"name": "few", "rate": 0.25, "low": 0.0, "high": 0.5, "subjects": 2, "fooled": 1, "choices": 4},
        ],
        "left": {"rate": 0.5, "low": 0.25, "high": 0.75, "subjects": 2, "chosen": 4, "choices": 8},
    }


def test_of_one_subject_it_is_said_that_there_is_no_interval(refinesr: Command, report: Path) -> None:
    refinesr("study", report, "-o", "study.html")
    ran = refinesr("fool-rate", save("study.html", 4), "--json", "rates.json")
    assert ran.out.splitlines()[-1] == "no interval for one subject; ask more people"
    assert "few     0.0%                      1         2" in ran.out
    assert [row["low"] for row in json.loads(Path("rates.json").read_text())["methods"]] == [None, None]


def test_of_many_subjects_nothing_is_held_against_the_interval(refinesr: Command, report: Path) -> None:
    refinesr("study", report, "-o", "study.html")
    ran = refinesr("fool-rate", save("study.html", *(k % 5 for k in range(20))))
    assert ran.out.splitlines()[-1] == "interval: by bootstrap over subjects"


def test_answers_to_two_pages_and_of_one_subject_twice_are_refused(refinesr: Command, report: Path) -> None:
    refinesr("study", report, "-o", "study.html")
    refinesr("study", report, "-o", "other.html", "--seconds", "1")
    folder = save("study.html", 2)
    Path("other.json").write_text(json.dumps(answered("other.html", 7, 2)))
    ran = refinesr("fool-rate", folder, "other.json", "--json", "rates.json")
    why = "study: is another than that of answers/0.json; count the answers to one page"
    assert (ran.code, ran.out, ran.err) == (2, "", f"other.json: {why}\n")
    Path("again.json").write_bytes((folder / "0.json").read_bytes())
    ran = refinesr("fool-rate", folder, "again.json", "--json", "rates.json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"again.json: subject: {0:032x} is that of answers/0.json, too\n"
    assert not Path("rates.json").exists()


def test_rates_that_are_there_are_kept(refinesr: Command, report: Path) -> None:
    refinesr("study", report, "-o", "study.html")
    folder = save("study.html", 2)
    Path("rates.json").write_text("mine")
    ran = refinesr("fool-rate", folder, "--json", "rates.json")
    assert (ran.code, ran.out, ran.err) == (2, "", "rates.json exists; --overwrite replaces it\n")
    assert refinesr("fool-rate", folder, "--json", "rates.json", "--overwrite").code == 0
    before = (file := folder / "0.json").read_bytes()
    ran = refinesr("fool-rate", folder, "--json", file, "--overwrite")
    assert (ran.code, ran.err) == (2, f"{file}: the result would replace the input {file}; rename one\n")
    assert file.read_bytes() == before
