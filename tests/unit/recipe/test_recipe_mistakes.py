"""Every mistake a recipe can have: what, where, what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.recipe.conftest import BASE
from textxfer.errors import RecipeError
from textxfer.recipe.loading import load_recipe

QA = "checkpoint: some/model\ndataset: data\n"

ONE_MISTAKE = {
    # Keys
    "unknown section": (BASE + "trian: {epochs: 2}\n", "r.yaml:4:1: trian: unknown key `trian`; did you mean `train`?"),
    "unknown key": (
        BASE + "train:\n  epoch: 2\n",
        "r.yaml:5:3: train.epoch: unknown key `epoch`; did you mean `epochs`?",
    ),
    "key of another task": (QA + "task: {name: topic, stride: 1}\n", "r.yaml:3:21: task.stride: unknown key `stride`"),
    "a list as a key": (BASE + "? [a]\n: b\n", "r.yaml:4:3: a list or a section stands where a key should"),
    "duplicate key": (
        BASE + "train:\n  epochs: 1\n  epochs: 2\n",
        "r.yaml:6:3: train.epochs: stands twice; the first is on line 5",
    ),
    "merge key": (BASE + "train:\n  <<: {epochs: 1}\n", "r.yaml:5:3: train.<<: unknown key `<<`"),
    # Kinds of values
    "text for a number": (
        BASE + "train: {epochs: many}\n",
        "r.yaml:4:9: train.epochs: must be a whole number, not `many`",
    ),
    "fraction": (BASE + "train: {epochs: 2.0}\n", "train.epochs: must be a whole number, not `2.0`"),
    "boolean for a number": (BASE + "train: {seed: true}\n", "train.seed: must be a whole number, not true"),
    "yes for true": (BASE + "freeze: {embeddings: yes}\n", "freeze.embeddings: must be true or false, not `yes`"),
    "number for a text": (BASE + "name: 5\n", "r.yaml:4:1: name: must be a text, not `5`"),
    "text for a section": (BASE + "train: fast\n", "train: must be a section of `key: value` lines, not `fast`"),
    "list for a section": (BASE + "evaluate: [a]\n", "evaluate: must be a section of `key: value` lines, not a list"),
    "text for a list": (BASE + "evaluate: {metrics: accuracy}\n", "evaluate.metrics: must be a list, not `accuracy`"),
    "empty list": (BASE + "evaluate: {metrics: []}\n", "evaluate.metrics: must be a list that is not empty"),
    "out of range": (BASE + "train: {epochs: 0}\n", "train.epochs: must be at least 1, not `0`"),
    "whole share": (BASE + "dataset: {path: d, validation_fraction: 1.0}\n", "stands twice"),
    "infinite": (BASE + "train: {learning_rate: 1e999}\n", "train.learning_rate: must be a finite number"),
    "several legal kinds": (
        BASE + "freeze: {layers: some}\n",
        "freeze.layers: must be a whole number or `all`, `auto`, not `some`",
    ),
    "one of": (
        BASE + "train: {precision: fp8}\n",
        "train.precision: must be `auto`, `fp32`, `bf16`, `fp16`, not `fp8`",
    ),
    "a word that YAML takes for false": (BASE + "calibrate: no\n", "calibrate: must be `auto`, `off`, not `no`"),
    "a word or a section": (
        BASE + "train: {prefix_cache: maybe}\n",
        "train.prefix_cache: must be `auto`, `off` or a section of `key: value` lines, not `maybe`",
    ),
    "key of a section within": (
        BASE + "train: {prefix_cache: {memery: 4GiB}}\n",
        "r.yaml:4:24: train.prefix_cache.memery: unknown key `memery`; did you mean `memory`?",
    ),
    "value of a section within": (
        BASE + "train: {prefix_cache: {memory: much}}\n",
        "r.yaml:4:24: train.prefix_cache.memory: must be a size such as `4GiB` (B, KiB, MiB, GiB or TiB), not `much`",
    ),
    "weight of a label": (
        BASE + "train: {class_weights: {good: 1, bad: 0}}\n",
        "r.yaml:4:34: train.class_weights.bad: must be more than 0, not `0`",
    ),
    "item of a list": (
        QA + "task: {name: topic, labels: [a, null]}\n",
        "r.yaml:3:33: task.labels[1]: must be a text, not null",
    ),
    "label named twice": (QA + "task: {name: topic, labels: [a, 1, '1']}\n", "task.labels: names `1` twice"),
    # Phases
    "phases beside epochs": (
        BASE + "train: {epochs: 3, phases: [{epochs: 1}]}\n",
        "r.yaml:4:9: train.epochs: `train.phases` says how long the run is; leave it out, or the phases",
    ),
    "phases beside a number of steps": (
        BASE + "train: {max_steps: 3, phases: [{epochs: 1}]}\n",
        "train.max_steps: `train.phases` says how long the run is; leave it out, or the phases",
    ),
    "phases beside what is frozen": (
        BASE + "freeze: {layers: 4}\ntrain: {phases: [{epochs: 1}]}\n",
        "r.yaml:4:1: freeze: `train.phases` says what is frozen, and when; leave it out, or the phases",
    ),
    "nothing to choose from": (
        "checkpoint: {auto: [a]}\ndataset: d\ntask: topic\n",
        "checkpoint.auto: must be a list of 2 or more, not of 1",
    ),
    "no phase": (BASE + "train: {phases: []}\n", "train.phases: must be a list that is not empty, not an empty list"),
    "phase of no length": (
        BASE + "train: {phases: [{epochs: 1}, {freeze: {layers: 1}}]}\n",
        "train.phases[1]: does not say how long it is: give `epochs` or `steps`",
    ),
    "phase of two lengths": (
        BASE + "train: {phases: [{epochs: 1, steps: 5}]}\n",
        "train.phases[0]: says both `epochs` and `steps`; keep one of them",
    ),
    "phase of no steps": (
        BASE + "train:\n  phases:\n    - {steps: 0}\n",
        "r.yaml:6:8: train.phases[0].steps: must be at least 1, not `0`",
    ),
    "phase like the one before": (
        BASE + "train: {learning_rate: 1e-3, phases: [{freeze: {layers: 2}, epochs: 1}, "
        "{freeze: {layers: 2, embeddings: true}, steps: 5, learning_rate: 1e-3}]}\n",
        "train.phases[1]: has the frozen layers and the learning rate of the phase before; make that one longer",
    ),
    "key of a phase": (
        BASE + "train:\n  phases:\n    - {epoch: 1, steps: 2}\n",
        "r.yaml:6:8: train.phases[0].epoch: unknown key `epoch`; did you mean `epochs`?",
    ),
    "key within a phase": (
        BASE + "train:\n  phases:\n    - {steps: 1, freeze: {layer: 1}}\n",
        "r.yaml:6:27: train.phases[0].freeze.layer: unknown key `layer`; did you mean `layers`?",
    ),
    "phase that leaves the number of layers open": (
        BASE + "train: {phases: [{epochs: 1, freeze: {layers: auto}}]}\n",
        "train.phases[0].freeze.layers: must be a whole number or `all`, not `auto`",
    ),
    "thawing of nothing": (
        BASE + "freeze: {layers: 0, thaw_every: 1}\n",
        "r.yaml:4:10: freeze.layers: is 0, so that `thaw_every` has no layer to thaw; give a number or `all`",
    ),
    "thawing from an open number": (
        BASE + "freeze: {layers: auto, thaw_every: 1}\n",
        "freeze.layers: with `thaw_every`, say where it begins: give a number or `all`",
    ),
    "thawing in an adaptation": (
        BASE + "adapt: {texts: task, freeze: {layers: 1, thaw_every: 1}}\n",
        "adapt.freeze.thaw_every: unknown key `thaw_every`",
    ),
    "adaptation that leaves the number of layers open": (
        BASE + "adapt: {texts: task, freeze: {layers: auto}}\n",
        "adapt.freeze.layers: must be a whole number or `all`, not `auto`",
    ),
    "updates of layers that are frozen in every phase": (
        BASE + "lora: {rank: 2}\ntrain: {phases: [{freeze: {layers: all}, epochs: 1}]}\n",
        "r.yaml:4:1: lora: updates layers that are not frozen, and all layers are frozen in every phase; drop one of",
    ),
    "embeddings beside updates in a phase": (
        BASE + "lora: {rank: 2}\ntrain: {phases: [{freeze: {embeddings: false}, epochs: 1}]}\n",
        "train.phases[0].freeze.embeddings: with `lora` the embeddings keep their weights; leave it out",
    ),
    # The name is a folder's
    "name with slash": (BASE + "name: a/b\n", "name: must be letters, digits, `.`, `_` and `-`"),
    "name that climbs": (BASE + "name: ..\n", "name: must be letters, digits"),
    # YAML
    "tab": (BASE + "train:\n\tepochs: 1\n", "r.yaml:5:1: a tab stands here; YAML is indented with spaces"),
    "empty": ("", "r.yaml: is empty; `textxfer init DATA` writes a recipe to start from"),
    "comments only": ("# nothing\n", "r.yaml: is empty"),
    "a list": ("- a\n", "r.yaml: must be made of `key: value` lines"),
    "two documents": (BASE + "---\na: 1\n", "r.yaml:4:1: a second document begins here"),
    "open brace": (BASE + "train: {epochs: 1\n", "r.yaml:4:8: a `{` opens here that is not closed"),
    "open bracket": (BASE + "plugins: [a\n", "r.yaml:4:10: a `[` opens here that is not closed"),
    "open quote": (BASE + "name: 'a\n", "r.yaml:4:7: a quote opens here that is not closed"),
    "second colon": (BASE + "name: a: b\n", "r.yaml:4:8: a second `:` stands here; put the text in quotes"),
    "indent": (BASE + "train:\n  epochs: 1\n seed: 2\n", "r.yaml:6:2: the indent does not fit the lines above"),
    "no colon": (BASE + "train\n", "a `:` is missing here or on the line above"),
    "reference to nothing": (BASE + "name: *x\n", "`*` begins a reference to nothing"),
    "at sign": (BASE + "name: @x\n", "a text that begins with this character needs quotes"),
    "python tag": (BASE + "name: !!python/name:os.system x\n", "cannot be read by its tag"),
    "wrong tag": (BASE + "train: {epochs: !!int many}\n", "train.epochs: cannot be read by its tag"),
    "control character": (BASE + "name: a\0b\n", "is not YAML: unacceptable character #x0000"),
    # Tasks, metrics, plugins
    "unknown task": (
        QA + "task: sentimant\n",
        "r.yaml:3:1: task.name: unknown task `sentimant`; did you mean `sentiment`?",
    ),
    "task as number": (QA + "task: 5\n", "must be a task's name or a section with its `name`"),
    "task without name": (
        QA + "task: {max_length: 64}\n",
        "task: has no `name`: say which task (there are: question_answ",
    ),
    "unknown metric": (
        BASE + "evaluate: {metrics: [accuracy, acuracy]}\n",
        "r.yaml:4:32: evaluate.metrics[1]: unknown metric `acuracy`; did you mean `accuracy`?",
    ),
    "metric of another task": (
        BASE + "evaluate: {metrics: [answer_f1]}\n",
        "evaluate.metrics[0]: `answer_f1` judges answers, but the task gives labels",
    ),
    "f1 of three labels": (
        QA + "task: {name: topic, labels: [a, b, c]}\nevaluate: {metrics: [f1]}\n",
        "evaluate.metrics[0]: `f1` needs two labels, and there are 3; try `macro_f1`",
    ),
    "order that is not there": (
        BASE + "evaluate: {metrics: [within_one]}\n",
        "`within_one` needs labels with an order (`task.ord",
    ),
    "select by another": (
        BASE + "evaluate: {metrics: [accuracy], select_by: macro_f1}\n",
        "r.yaml:4:33: evaluate.select_by: must be one of `evaluate.metrics`: unknown metric `macro_f1`",
    ),
    "select by another than the task's": (
        BASE + "evaluate: {select_by: matthews}\n",
        "evaluate.select_by: must be one of `evaluate.metrics`: unknown metric `matthews` (there are: accuracy,",
    ),
    "plugin not found": (BASE + "plugins: [no.py]\n", "r.yaml:4:11: plugins[0]: there is no plugin file"),
    "plugins as text": (BASE + "plugins: no.py\n", "plugins: must be a list, not `no.py`"),
    # Fields that do not fit each other
    "stride": (
        QA + "task: {name: question_answering, max_length: 64, stride: 60}\n",
        "r.yaml:3:1: task: stride (60) must be less than max_length (64)",
    ),
    "patience": (
        BASE + "train: {epochs: 3, patience: 3}\n",
        "r.yaml:4:20: train.patience: is 3, but 3 epochs are evaluated",
    ),
    "micro-batch": (
        BASE + "train: {micro_batch_size: 64}\n",
        "train.micro_batch_size: is 64, which is more than `train.batch_size` (32)",
    ),
    "weights of answers": (
        QA + "task: question_answering\ntrain: {class_weights: balanced}\n",
        "train.class_weights: has no meaning for answers",
    ),
    "weight of a stranger": (
        QA + "task: {name: topic, labels: [good, bad]}\ntrain: {class_weights: {god: 2}}\n",
        "r.yaml:4:25: train.class_weights.god: unknown label `god`; did you mean `good`?",
    ),
    "no rows": ("checkpoint: a/b\ntask: topic\ndataset: {text: x}\n", "dataset: says neither `path`"),
    "two kinds of rows": (
        "checkpoint: a/b\ntask: topic\ndataset: {path: x, hub: y}\n",
        "dataset: names both `path` and `hub`",
    ),
    "revision of files": (
        "checkpoint: a/b\ntask: topic\ndataset: {path: x, revision: v1}\n",
        "goes with `dataset.hub` only",
    ),
    "revision of a folder": (
        "checkpoint: {id: ./model, revision: v1}\ntask: topic\ndataset: x\n",
        "r.yaml:1:27: checkpoint.revision: goes with a Hub id only",
    ),
    "two revisions": (
        "checkpoint: {id: a/b@v1, revision: v2}\ntask: topic\ndataset: x\n",
        "r.yaml:1:14: checkpoint.id: `a/b@v1` names a revision, and so does `checkpoint.revision`",
    ),
    "no revision": (
        "checkpoint: a/b@\ntask: topic\ndataset: x\n",
        "checkpoint.id: `a/b@` is not of the form id@revision",
    ),
}


@pytest.mark.parametrize("case", ONE_MISTAKE)
def test_a_mistake_is_one_problem_with_its_place(case: str, problems: Callable[..., list[str]]) -> None:
    text, expected = ONE_MISTAKE[case]
    found = problems(text)
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("r.yaml")


def test_the_offending_line_is_shown(problems: Callable[..., list[str]]) -> None:
    [problem] = problems(BASE + "train:\n    epochs: no  # for now\n")
    assert problem.splitlines()[1] == "    epochs: no  # for now"


def test_missing_sections_are_all_named(problems: Callable[..., list[str]]) -> None:
    found = problems("name: x\n")
    assert [line.partition(" (")[0] for line in found] == [
        "r.yaml: checkpoint: is missing",
        "r.yaml: dataset: is missing",
        "r.yaml: task: is missing: say which task",
    ]


def test_all_mistakes_are_told_at_once_in_their_order(problems: Callable[..., list[str]]) -> None:
    found = problems(
        "checkpoint: a/b\n"
        "dataset: {path: x, hub: y}\n"
        "task: {name: sentiment, max_length: 2}\n"
        "train:\n"
        "  epochs: 1\n"
        "  epochs: 2\n"
        "  sed: 3\n"
        "evaluate: {metrics: [acuracy]}\n"
        "freeze: {layers: -1, embeddings: 1}\n"
        "plugins: [no.py]\n",
        "output.directory=[]",
        "nonsense",
    )
    places = [problem.split(": ")[0] for problem in found]
    assert places == [
        "r.yaml:2:1",
        "r.yaml:3:25",
        "r.yaml:6:3",
        "r.yaml:7:3",
        "r.yaml:8:22",
        "r.yaml:9:10",
        "r.yaml:9:22",
        "r.yaml:10:11",
        "command line",
        "command line",
    ]


def test_what_depends_on_a_wrong_field_is_not_blamed(problems: Callable[..., list[str]]) -> None:
    """Patience may well fit once `epochs` is spelled right, and the metric once the task is."""
    [epochs] = problems(BASE + "train: {epoch: 10, patience: 4}\n")
    [task] = problems(QA + "task: qa\nevaluate: {metrics: [exact_match]}\n")
    assert "epoch" in epochs
    assert "unknown task `qa`" in task


def test_a_metric_that_does_not_exist_is_told_beside_a_wrong_task(problems: Callable[..., list[str]]) -> None:
    found = problems(QA + "task: qa\nevaluate: {metrics: [exact_macht]}\n")
    assert len(found) == 2
    assert "did you mean `exact_match`?" in found[1]


def test_a_recipe_that_is_not_there_names_its_like(write: Callable[..., Path], tmp_path: Path) -> None:
    write(BASE, "sentiment.yaml")
    with pytest.raises(RecipeError, match=r"there is no such recipe; did you mean `.*/sentiment\.yaml`\?"):
        load_recipe(tmp_path / "sentimnt.yaml")
    with pytest.raises(RecipeError, match=r"is a folder; name a recipe file in it .*sentiment\.yaml"):
        load_recipe(tmp_path)


def test_a_recipe_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"checkpoint: a/b\nname: caf\xe9\n")
    with pytest.raises(RecipeError, match=r"r\.yaml:2: is not UTF-8 \(byte 0xe9\); save it as UTF-8"):
        load_recipe(path)


def test_a_file_name_that_cannot_be_a_run(write: Callable[..., Path]) -> None:
    path = write(BASE, "my recipe.yaml")
    with pytest.raises(RecipeError, match="name: is missing, and the file's own name, `my recipe`, cannot be a run's"):
        load_recipe(path)
    assert load_recipe(path, "name=mine").name == "mine"


@pytest.mark.parametrize("place", ["x" * 400, "~nobody-at-all/model", "a\0b"])
def test_strange_paths_are_no_crash(place: str) -> None:
    recipe = load_recipe({"checkpoint": place, "dataset": place, "task": "topic"})
    assert recipe.task.max_length == 256
