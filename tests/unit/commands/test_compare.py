"""`textxfer compare`: what it prints and writes, from real runs and from folders in every broken state."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.trained import train
from textxfer.recipe.writing import to_yaml

NAMES = ("calm", "loud", "rude")
Shell = Callable[..., tuple[int, str, str]]


def write_run(
    folder: Path,
    right: Sequence[int],
    *,
    texts: Callable[[int], str] | None = None,
    seed: int = 0,
    learning_rate: float = 1e-4,
) -> Path:
    """Writes the files of a finished run of three labels, which has some rows right (1) and others wrong (0)."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "predictions.jsonl").open("w") as file:
        for number, is_right in enumerate(right):
            gold = NAMES[number % 3]
            said = gold if is_right else NAMES[(number + 1) % 3]
            record = {"id": f"test-{number}", "reference": gold, "prediction": said, "probabilities": {said: 1.0}}
            if texts is not None:
                record["text"] = texts(number)
            file.write(json.dumps(record) + "\n")
    share = sum(right) / len(right)
    metrics = {
        "format": 1,
        "test": {"accuracy": share, "macro_f1": share, "calibration_error": 0.1},
        "per_label": {"test": {name: {"f1": share} for name in NAMES}},
        "num_examples": {"train": 10, "test": len(right)},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    recipe = {
        "name": folder.name,
        "checkpoint": {"id": "a/b"},
        "dataset": {"path": f"{'../' * len(folder.parts)}data"},
        "train": {"learning_rate": learning_rate, "seed": seed},
        "evaluate": {"select_by": "macro_f1"},
        "output": {"directory": str(folder.parent)},
    }
    (folder / "recipe.yaml").write_text(to_yaml(recipe))
    (folder / "environment.json").write_text(json.dumps({"fingerprints": {"data": "same"}}))
    return folder


GOOD, BETTER = [1] * 60 + [0] * 30, [0] * 2 + [1] * 80 + [0] * 8


@pytest.fixture
def two(shell: Shell) -> Shell:
    """A shell beside the runs `runs/a` and the better `runs/b`."""
    write_run(Path("runs/a"), GOOD, learning_rate=1e-4)
    write_run(Path("runs/b"), BETTER, learning_rate=2e-4, texts=lambda row: f"text {row}")
    return shell


@pytest.fixture(scope="module")
def real(checkpoints: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Trains a tiny model and gives its run folder, made once for each name."""
    made: dict[str, Path] = {}

    def get(name: str, task: str = "sentiment", **train_section: Any) -> Path:
        if name not in made:
            section = {"epochs": 2, "batch_size": 8, "learning_rate": 5e-3, "precision": "fp32"} | train_section
            runs = tmp_path_factory.mktemp("runs")
            made[name] = train(checkpoints("bert"), task, runs, name=name, train=section)
        return made[name]

    return get


# Real runs


@pytest.mark.parametrize("task", ["sentiment", "topic", "question_answering"])
def test_real_runs(task: str, real: Callable[..., Path], shell: Shell) -> None:
    runs = [real(f"{task}-{rate}", task, learning_rate=rate) for rate in (5e-3, 1e-4)]
    code, out, err = shell("compare", *map(str, runs), "--json", "c.json")
    assert (code, err) == (0, "")
    found = json.loads(Path("c.json").read_text())
    for side, run in zip(found["runs"], runs, strict=True):
        scores = json.loads((run / "metrics.json").read_text())["test"]
        assert side["scores"] == pytest.approx({name: scores[name] for name in side["scores"]})
        assert {*scores} - {*side["scores"]} <= {"calibration_error", "loss"}
    [pair] = found["pairs"]
    assert (pair["mcnemar"] is None) == (task == "question_answering")
    assert found["metric"] == {"question_answering": "answer_f1"}.get(task, "macro_f1")
    assert "2 - 1" in out


def test_real_seeds_of_one_recipe(real: Callable[..., Path], shell: Shell) -> None:
    code, out, _ = shell("compare", *(str(real(f"tiny-{seed}", seed=seed)) for seed in (1, 2)))
    assert code == 0
    assert "mean (sd) of seeds" in out
    assert "note: the runs are seeds of one recipe" in out


def test_neither_torch_nor_transformers_is_imported(two: Shell) -> None:
    script = (
        "import sys; from textxfer.__main__ import main;"
        "code = main(['compare', 'runs/a', 'runs/b', '--html', 'c.html']);"
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'pandas'} & set(sys.modules);"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# What is shown


def test_the_whole_output(two: Shell) -> None:
    code, out, err = two("compare", "runs/a", "runs/b", "--rows", "3")
    assert (code, err) == (0, "")
    shown = re.sub(r"[+-]?0\.\d{3}|<0\.001", "#", out)
    assert (
        shown
        == """\
90 test rows; 95% intervals from 5,000 paired resamples

   run     accuracy              macro_f1
1  runs/a  # [#, #]  # [#, #]
2  runs/b  # [#, #]  # [#, #]

pair   metric           difference                     p
2 - 1  macro_f1         # [#, #]        #
2 - 1  accuracy         # [#, #]        #
2 - 1  right (McNemar)  2 rows only 1, 22 rows only 2  #

runs/b is better than runs/a: # macro_f1 [#, #], p < #

24 rows on which 1 and 2 differ, 3 of them:
id       reference  1     2     text
test-0   calm       calm  loud  text 0
test-1   loud       loud  rude  text 1
test-60  calm       loud  calm  text 60

"""
    )


def test_every_line_fits_a_terminal_and_shows_no_control_character(two: Shell) -> None:
    strange = "\x1b[31mred\x00 \u202e" + "word " * 20_000
    for number in range(2):
        name = f"runs/a-run-whose-name-goes-on-and-on-and-on-{number}"
        write_run(Path(name), [1, number] * 45, learning_rate=number + 1.0, texts=lambda row: f"{row}{strange}")
    code, out, _ = two("compare", "runs/a", *map(str, sorted(Path("runs").glob("a-run*"))), "--rows", "9")
    assert code == 0
    assert 90 < max(map(len, out.splitlines())) <= 100
    assert all(letter.isprintable() for letter in out.replace("\n", ""))
    assert re.search(r"^3  …\S+-goes-on-and-on-and-on-1  ", out, re.MULTILINE)


def test_rows_are_shown_as_many_as_asked_for(two: Shell) -> None:
    assert "rows on which" not in two("compare", "runs/a", "runs/b", "--rows", "0")[1]
    out = two("compare", "runs/a", "runs/b", "--rows", "100")[1]
    assert "24 rows on which 1 and 2 differ:" in out
    assert len(re.findall(r"^test-", out, re.MULTILINE)) == 24
    assert "-1' is no number of rows" in two("compare", "runs/a", "runs/b", "--rows=-1")[2]


def test_the_metric_can_be_chosen(two: Shell) -> None:
    assert re.search(
        r"b is better than runs/a: \+0.\d+ accuracy ", two("compare", "runs/a", "runs/b", "--metric", "accuracy")[1]
    )
    code, _, err = two("compare", "runs/a", "runs/b", "--metric", "acuracy")
    assert (code, err) == (
        2,
        "unknown metric of these runs `acuracy`; did you mean `accuracy`? (there are: accuracy, macro_f1)\n",
    )


def test_several_recipes_with_seeds(two: Shell) -> None:
    for seed in (1, 2, 10):
        write_run(Path(f"runs/s/seed-{seed}"), [1] * (70 + seed) + [0] * (20 - seed), seed=seed, learning_rate=9.0)
    code, out, _ = two("compare", "runs/s", "runs/a")
    assert code == 0
    assert re.findall(r"runs/\S+(?=  )", out) == [
        *(f"runs/s/seed-{seed}" for seed in (1, 2, 10)),
        "runs/a",
        "runs/s",
        "runs/a",
    ]
    assert "runs/s is better than runs/a: +0." in out
    assert "note: fewer than 3 seeds of runs/a (1): with 1 the spread between seeds is unknown" in " ".join(out.split())


@pytest.mark.parametrize("change", ["recipe", "data", "same seed", "no environment", "broken recipe", "odd recipe"])
def test_runs_that_are_no_seeds_of_one_recipe(change: str, shell: Shell) -> None:
    for seed in (1, 2):
        folder = write_run(Path(f"runs/{seed}"), GOOD, seed=1 if change == "same seed" else seed)
        if change == "recipe":
            write_run(folder, GOOD, seed=seed, learning_rate=float(seed))
        elif change == "data":
            (folder / "environment.json").write_text(json.dumps({"fingerprints": {"data": str(seed)}}))
        elif change == "no environment":
            (folder / "environment.json").unlink()
        elif change == "broken recipe":
            (folder / "recipe.yaml").write_text("train: [")
        elif change == "odd recipe":
            (folder / "recipe.yaml").write_text("train: 3\nevaluate: []\ntask: topic\n")
    code, out, _ = shell("compare", "runs/1", "runs/2")
    assert code == 0
    assert "seeds" not in out


def test_seeds_in_folders_of_other_depths_are_one_recipe(shell: Shell) -> None:
    write_run(Path("runs/a"), GOOD, seed=1)
    write_run(Path("other/runs/b"), GOOD, seed=2)
    assert "runs/a and 1 more seed" in shell("compare", "runs/a", "other/runs/b")[1]


# Files


def test_json_holds_every_figure(two: Shell) -> None:
    assert two("compare", "runs/a", "runs/b", "--json", "c.json", "--rows", "2")[0] == 0
    found = json.loads(Path("c.json").read_text())
    assert found["num_rows"] == 90
    [pair] = found["pairs"]
    p = pytest.approx(2 * (1 + 24 + 276) / 2**24)
    assert pair["mcnemar"] == {"only_first": 2, "only_second": 22, "p": p, "holm_p": p}
    assert pair["differences"].keys() == {"accuracy", "macro_f1"}
    assert len(pair["rows"]) == 2
    assert pair["rows"][0]["text"] == "text 0"


def test_the_page_shows_markup_as_text_and_needs_nothing_else(two: Shell) -> None:
    for name, right in (("<b>x", [1, 0, 1]), ("y", [0, 0, 1])):
        write_run(
            Path(f"runs/{name}"), right, texts=lambda row: f"<script>alert({row})</script>\x00\u202e" + "z" * 100_000
        )
    code, _, err = two("compare", "runs/<b>x", "runs/y", "--html", "c.html")
    assert (code, err) == (0, "")
    page = Path("c.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "<bdi>&lt;script&gt;alert(0)&lt;/script&gt;\u2400\u202e" in page
    assert "\x00" not in page
    assert len(page) < 20_000
    assert "color-scheme: light dark" in page
    assert not re.search(r"https?:|url\(|src=|href=", page)


@pytest.mark.parametrize("flag", ["--html", "--json"])
def test_a_file_that_cannot_be_written(flag: str, two: Shell) -> None:
    code, _, err = two("compare", "runs/a", "runs/b", flag, "nowhere/c")
    assert (code, err) == (2, "nowhere/c: cannot be written: No such file or directory\n")


# Runs that cannot be compared


def edit_line(number: int, change: Callable[[str], str]) -> Callable[[Path], object]:
    """Changes a line of predictions.jsonl, counted from 1."""

    def edit(run: Path) -> object:
        lines = (run / "predictions.jsonl").read_text().splitlines(keepends=True)
        lines[number - 1] = change(lines[number - 1])
        return (run / "predictions.jsonl").write_text("".join(lines))

    return edit


def edit_metrics(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(run: Path) -> object:
        metrics = json.loads((run / "metrics.json").read_text())
        change(metrics)
        return (run / "metrics.json").write_text(json.dumps(metrics))

    return edit


def without(key: str) -> Callable[[str], str]:
    return lambda line: json.dumps({name: value for name, value in json.loads(line).items() if name != key}) + "\n"


def having(**values: Any) -> Callable[[str], str]:
    return lambda line: json.dumps(json.loads(line) | values) + "\n"


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "unfinished": (
        lambda run: (run / "metrics.json").unlink(),
        "runs/b: the run has not finished (it has no metrics.json); go on with it by --resume",
    ),
    "no run": (
        lambda run: [file.unlink() for file in run.iterdir()],
        "runs/b: is no run folder (it has no metrics.json)",
    ),
    "no folder": (
        lambda run: run.rename("elsewhere"),
        "runs/b: there is no such folder",
    ),
    "broken metrics": (
        lambda run: (run / "metrics.json").write_text("{"),
        "runs/b/metrics.json: is not JSON: Expecting property name",
    ),
    "metrics of another kind": (
        lambda run: (run / "metrics.json").write_text("[]"),
        "runs/b/metrics.json: holds no JSON object",
    ),
    "no test split": (
        edit_metrics(lambda metrics: metrics.pop("test")),
        "runs/b: the run has no test split, so that there is nothing to compare; name `dataset.test`",
    ),
    "no predictions": (
        lambda run: (run / "predictions.jsonl").unlink(),
        "runs/b/predictions.jsonl: there is no such file; run the recipe again with --overwrite",
    ),
    "no lines": (
        lambda run: (run / "predictions.jsonl").write_text(""),
        "runs/b/predictions.jsonl: is empty",
    ),
    "a missing line": (
        edit_line(7, lambda line: ""),
        "runs/b/predictions.jsonl: has 89 lines, but metrics.json counts 90 test rows; run the recipe again with",
    ),
    "a broken line": (
        edit_line(17, lambda line: line[:20] + "\n"),
        "runs/b/predictions.jsonl:17: is not JSON: ",
    ),
    "a line of another kind": (
        edit_line(17, lambda line: "17\n"),
        "runs/b/predictions.jsonl:17: holds no JSON object",
    ),
    "a line without id": (
        edit_line(3, without("id")),
        "runs/b/predictions.jsonl:3: has no `id`",
    ),
    "a first line without reference": (
        edit_line(1, without("reference")),
        "runs/b/predictions.jsonl:1: has no `reference`",
    ),
    "a line without text": (
        edit_line(3, without("text")),
        "runs/b/predictions.jsonl:3: has no `text`",
    ),
    "an unknown label": (
        edit_line(4, having(prediction="dull")),
        "runs/b/predictions.jsonl:4: the prediction 'dull' is none of the run's labels",
    ),
    "a missing label": (
        edit_line(4, having(reference=None)),
        "runs/b/predictions.jsonl:4: the reference None is none of the run's labels",
    ),
    "a list among labels": (
        edit_line(4, having(reference=["calm"])),
        "runs/b/predictions.jsonl:4: the reference ['calm'] is a list",
    ),
    "bytes": (
        lambda run: (run / "predictions.jsonl").write_bytes(b"\xff\xfe"),
        "runs/b/predictions.jsonl: cannot be read: 'utf-8' codec",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_run(name: str, two: Shell) -> None:
    damage, message = BROKEN[name]
    damage(Path("runs/b"))
    code, out, err = two("compare", "runs/a", "runs/b", "--json", "c.json")
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert len(err.splitlines()) == 1
    assert not Path("c.json").exists()


def test_all_broken_runs_are_told_at_once(two: Shell) -> None:
    for name in ("c", "d"):
        write_run(Path(f"runs/{name}"), GOOD)
    (Path("runs/c") / "metrics.json").unlink()
    for number in range(1, 9):
        edit_line(number, without("id"))(Path("runs/d"))
    code, _, err = two("compare", "runs/c", "runs/d", "runs/e", "runs/a", "runs/../runs/a")
    assert code == 2
    assert err.splitlines() == [
        "runs/../runs/a: is named twice",
        "runs/c: the run has not finished (it has no metrics.json); go on with it by --resume",
        *(f"runs/d/predictions.jsonl:{number}: has no `id`" for number in (1, 2, 3)),
        "... and 5 more like this",
        "runs/e: there is no such folder",
    ]


def test_one_run_only(two: Shell) -> None:
    assert two("compare", "runs/a") == (2, "", "one run alone cannot be compared: name two or more\n")
    assert "arguments are required: RUN" in two("compare")[2]


def test_runs_on_other_rows(two: Shell) -> None:
    write_run(Path("runs/c"), GOOD[:80])
    edit_line(5, having(reference="calm"))(Path("runs/b"))
    code, _, err = two("compare", "runs/a", "runs/b", "runs/c")
    assert code == 2
    assert err.splitlines() == [
        "runs/a and runs/b have different references in 1 of 90 rows (the first: id 'test-4', 'loud' against 'calm')",
        "runs/a and runs/c have different test rows: 10 of 90 rows are in runs/a only (the first: id 'test-80')",
        "only runs with the same test rows can be compared",
    ]


def test_answers_against_labels(two: Shell, real: Callable[..., Path]) -> None:
    folder = real("question_answering-0.005", "question_answering", learning_rate=5e-3)
    assert two("compare", "runs/a", str(folder)) == (
        2,
        "",
        f"{folder} predicts answers, runs/a labels: they cannot be compared\n",
    )
