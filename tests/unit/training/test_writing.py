"""Runs of a model that writes: `head: text2text` from the recipe to what is saved."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textxfer
from tests.tiny import CORPUS
from tests.trained import questions, reviews
from tests.unit.publishing.test_model_card import card_of, snippets_of
from tests.unit.training.helpers import Watcher, assert_same_run, log, make_recipe, signaller, splits
from textxfer import registry
from textxfer.errors import CheckpointError, Interrupted, RecipeError
from textxfer.recipe.loading import load_recipe
from textxfer.run import run_recipe
from textxfer.training import ranking
from textxfer.training.prepare import prepare

HEAD = {"name": "text2text"}
WORDS = {"good": "the film was fine", "bad": "the film was dull"}
LENGTHS = {"max_length": 48, "stride": 8, "max_answer_length": 12}


@pytest.fixture(scope="module")
def t5(checkpoints: Callable[[str], Path]) -> Path:
    return checkpoints("t5")


def small(checkpoint: Path, directory: Path, **sections: Any) -> dict[str, Any]:
    """Gives a small recipe that writes its labels; sections are merged in."""
    recipe = make_recipe(checkpoint, directory)
    recipe |= {"head": HEAD, "suspects": "off"}
    for key, value in sections.items():
        old = recipe.get(key)
        recipe[key] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
    return recipe


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in log(folder) if "grad_norm" in line]


@pytest.fixture(scope="module")
def learnt(t5: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that learns its two labels, whose words begin alike, and keeps what it knows at the end."""
    rows = reviews()
    recipe = small(
        t5,
        tmp_path_factory.mktemp("runs"),
        head={"words": WORDS},
        train={"epochs": 25, "learning_rate": 1e-2, "log_every": 1, "dropout": 0.0, "evaluate_every": 1000},
    )
    return run_recipe(recipe, splits={"train": rows, "validation": rows[:10], "test": rows[10:]})


def test_labels_are_learnt(learnt: Any) -> None:
    found = losses(learnt.folder)
    assert np.mean(found[-5:]) < 0.3 * np.mean(found[:5])
    assert learnt.metrics["test"]["accuracy"] > 0.8
    rows = [json.loads(line) for line in (learnt.folder / "predictions.jsonl").read_text().splitlines()]
    assert {row["prediction"] for row in rows} == {"bad", "good"}
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1, abs=1e-6)


def test_the_recipe_that_was_carried_out_names_words_and_prompts(learnt: Any) -> None:
    head = load_recipe(learnt.folder / "recipe.yaml", rows_given=True).head
    assert head.model_dump() == {
        "name": "text2text",
        "start": "random",
        "prompt": "sentiment: ",
        "prompt_pair": "",
        "words": {"bad": "the film was dull", "good": "the film was fine"},
    }


def test_what_is_saved_says_the_same(learnt: Any) -> None:
    rows = [json.loads(line) for line in (learnt.folder / "predictions.jsonl").read_text().splitlines()]
    classify: Any = textxfer.pipeline(learnt.model)
    found = classify([row["text"] for row in rows], top_k=None)
    for row, labels in zip(rows, found, strict=True):
        assert labels[0]["label"] == row["prediction"]
        assert {each["label"]: each["score"] for each in labels} == pytest.approx(row["probabilities"], abs=1e-5)
    assessment = classify.evaluate([{"text": row["text"], "label": row["reference"]} for row in rows])
    assert assessment.scores["accuracy"] == learnt.metrics["test"]["accuracy"]


def test_plain_transformers_writes_what_it_learnt(learnt: Any) -> None:
    import transformers

    stock = transformers.AutoModelForSeq2SeqLM.from_pretrained(learnt.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(learnt.model)
    texts = ["sentiment: the cast was fine", "sentiment: no end in sight, dull and cold"]
    written = stock.generate(**tokenizer(texts, padding=True, return_tensors="pt"), max_new_tokens=32)
    found = [text.strip() for text in tokenizer.batch_decode(written, skip_special_tokens=True)]
    assert found == ["the film was fine", "the film was dull"]


def test_a_later_run_goes_on_from_it(learnt: Any, t5: Path, tmp_path: Path) -> None:
    rows = reviews()
    recipe = small(
        learnt.model,
        tmp_path,
        head={"words": WORDS},
    )
    again = run_recipe(recipe, splits={"train": rows, "validation": rows[:10]})
    assert losses(again.folder)[0] < 0.5 * losses(learnt.folder)[0]
    native = make_recipe(learnt.model, tmp_path, name="native")
    assert run_recipe(native, splits={"train": rows, "validation": rows[:10]}).metrics["steps"] > 0


def habits_of(recipe: dict[str, Any], given: Any) -> tuple[Any, Any, tuple[str, ...]]:
    prepared = prepare(load_recipe(recipe, rows_given=True), given)
    head: Any = prepared.recipe.head
    task: Any = prepared.rows.task
    assert (head.prompt, head.prompt_pair) == task.prompts
    return task.prompts, head.words, prepared.rows.notes


@pytest.fixture(scope="module")
def prompted(t5: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose prompts and words are not the usual ones."""
    head = {"words": WORDS, "prompt": "review: ", "prompt_pair": "and: "}
    recipe = small(t5, tmp_path_factory.mktemp("runs"), head=head, train={"max_steps": 1})
    return run_recipe(recipe, splits=splits()).folder


def test_words_and_prompts_of_the_checkpoint_are_kept(prompted: Path, t5: Path, tmp_path: Path) -> None:
    prompts, words, notes = habits_of(small(prompted, tmp_path), splits())
    assert (prompts, words) == (("review: ", "and: "), WORDS)
    kept = "prompt 'review: ', prompt_pair 'and: ', bad: the film was dull, good: the film was fine"
    assert f"as the checkpoint was trained, where the recipe does not say: {kept}" in notes
    result = run_recipe(small(prompted, tmp_path, train={"max_steps": 1}), splits=splits())
    noted = json.loads((result.model / "config.json").read_text())["textxfer"]
    assert (noted["prompts"], noted["words"]) == (["review: ", "and: "], WORDS)
    fresh = habits_of(small(t5, tmp_path), splits())
    assert fresh[:2] == (("sentiment: ", ""), {"bad": "bad", "good": "good"})
    assert not [note for note in fresh[2] if "as the checkpoint was trained" in note]


def test_the_recipe_s_words_and_prompts_are_stronger(prompted: Path, tmp_path: Path) -> None:
    head = {"prompt": "sentiment: ", "words": {"good": "a delight"}}
    prompts, words, _ = habits_of(small(prompted, tmp_path, head=head), splits())
    assert prompts == ("sentiment: ", "and: ")
    assert words == {"good": "a delight", "bad": "the film was dull"}
    prompts, _, _ = habits_of(small(prompted, tmp_path, head={"prompt": "", "prompt_pair": ""}), splits())
    assert prompts == ("", "")


def test_words_and_prompts_of_another_task_are_not_kept(prompted: Path, tmp_path: Path) -> None:
    named = {"good": "fine", "bad": "rude"}
    other = {name: [row | {"label": named[row["label"]]} for row in part] for name, part in splits().items()}
    prompts, words, _ = habits_of(small(prompted, tmp_path), other)
    assert (prompts, words) == (("sentiment: ", ""), {"fine": "fine", "rude": "rude"})
    asked = small(prompted, tmp_path)
    asked["task"] = {"name": "question_answering", **LENGTHS}
    found = prepare(load_recipe(asked, rows_given=True), {"train": questions(), "validation": questions()[:5]})
    assert found.rows.task.prompts == ("question: ", " context:")  # type: ignore[attr-defined]


def test_prompts_for_answers_are_kept(t5: Path, tmp_path: Path) -> None:
    given = {"train": questions(), "validation": questions()[:5]}
    first = small(t5, tmp_path, head={"prompt": "ask: ", "prompt_pair": " in:"}, train={"max_steps": 1})
    first["task"] = {"name": "question_answering", **LENGTHS}
    folder = run_recipe(first, splits=given).folder
    prompts, _, notes = habits_of(first | {"checkpoint": str(folder), "head": HEAD, "name": "next"}, given)
    assert prompts == ("ask: ", " in:")
    assert any("prompt 'ask: ', prompt_pair ' in:'" in note for note in notes)


@pytest.mark.parametrize(
    ("key", "value"), [("prompts", ["one"]), ("prompts", None), ("words", {"good": "", "bad": "x"})], ids=str
)
def test_noted_habits_that_are_damaged(key: str, value: Any, prompted: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(prompted / "model", tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    config["textxfer"][key] = value
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"`textxfer` in its config\.json is not understood"):
        prepare(load_recipe(small(model, tmp_path), rows_given=True), splits())


def test_a_temperature_is_kept_beside_the_weights(t5: Path, tmp_path: Path) -> None:
    rows = [
        {"text": f"{row['text']} {number}", "label": row["label"] if number % 5 else ("bad", "good")[number % 2]}
        for number, row in enumerate(reviews() * 6)
    ]
    recipe = small(t5, tmp_path, train={"epochs": 2, "batch_size": 32, "learning_rate": 1e-2})
    result = run_recipe(recipe, splits={"train": rows[:100], "validation": rows[100:], "test": rows[:20]})
    temperature = result.metrics["calibration"]["temperature"]
    noted = json.loads((result.model / "config.json").read_text())["textxfer"]
    assert temperature not in (None, 1.0)
    assert noted["temperature"] == pytest.approx(temperature)
    found = [json.loads(line) for line in (result.folder / "predictions.jsonl").read_text().splitlines()]
    said = textxfer.pipeline(result.model)([row["text"] for row in found])  # type: ignore[operator]
    scores = [max(row["probabilities"].values()) for row in found]
    assert [each["score"] for each in said] == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize(
    "train",
    [{"label_smoothing": 0.3}, {"class_weights": {"good": 3.0}}, {"dropout": 0.5}, {"layer_decay": 0.5}],
    ids=lambda train: next(iter(train)),
)
def test_fields_of_training_reach_it(train: dict[str, Any], t5: Path, tmp_path: Path) -> None:
    plain, changed = (
        run_recipe(
            small(t5, tmp_path, name=name, train={"max_steps": 3, "log_every": 1, "dropout": 0.0} | fields),
            splits=splits(),
        )
        for name, fields in (("plain", {}), ("changed", train))
    )
    assert losses(plain.folder) != pytest.approx(losses(changed.folder), abs=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_step_cut_into_micro_batches_is_the_same(smoothing: float, t5: Path, tmp_path: Path) -> None:
    runs = [
        run_recipe(
            small(
                t5,
                tmp_path,
                name=f"micro-{size}",
                train={"micro_batch_size": size, "label_smoothing": smoothing, "dropout": 0.0, "log_every": 1},
            ),
            splits=splits(),
        )
        for size in (8, 3)
    ]
    assert losses(runs[0].folder) == pytest.approx(losses(runs[1].folder), rel=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
def test_frozen_layers_are_computed_once(layers: int, t5: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    found = []
    for cache in ("auto", "off"):
        recipe = small(
            t5,
            tmp_path,
            name=f"cache-{cache}",
            freeze={"layers": layers},
            train={"epochs": 3, "prefix_cache": cache, "dropout": 0.0, "log_every": 1},
        )
        found.append(losses(run_recipe(recipe, splits=splits(), observers=[watcher]).folder))
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert any("computed once and kept" in note for note in watcher.notes)


def test_frozen_layers_are_computed_once_for_answers(t5: Path, tmp_path: Path) -> None:
    found = []
    for cache in ("auto", "off"):
        recipe = small(
            t5,
            tmp_path,
            name=f"cache-{cache}",
            task={"name": "question_answering", **LENGTHS},
            freeze={"layers": 1},
            train={"epochs": 2, "prefix_cache": cache, "dropout": 0.0, "log_every": 1},
        )
        result = run_recipe(recipe, splits={"train": questions()[:6], "validation": questions()[6:10]})
        found.append(losses(result.folder))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(t5: Path, tmp_path: Path) -> None:
    whole = run_recipe(small(t5, tmp_path, name="whole"), splits=splits())
    recipe = small(t5, tmp_path, name="cut")
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller("on_step", 3, signal.SIGTERM)])
    resumed = run_recipe(recipe, splits=splits(), resume=True)
    assert_same_run(whole.folder, resumed.folder)


def test_lora_updates_both_stacks(t5: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    watcher = Watcher()
    recipe = small(t5, tmp_path, lora={"rank": 2}, train={"epochs": 5, "learning_rate": 1e-2})
    result = run_recipe(recipe, splits=splits(), observers=[watcher])
    assert any("LoRA of rank 2 in 12 modules" in note for note in watcher.notes), watcher.notes
    assert losses(result.folder)[-1] < losses(result.folder)[0]
    assert textxfer.pipeline(result.model)(["the film"])  # type: ignore[operator]


def test_many_labels_are_told_apart(t5: Path, tmp_path: Path) -> None:
    words = sorted({word for text in CORPUS for word in text.split() if word.isalpha()})
    names = [f"{first}_{second}" for first in words[:7] for second in words[:11]]
    rows = [{"text": f"the film was {name}", "label": name} for name in names] * 2
    result = run_recipe(
        small(t5, tmp_path, task={"name": "topic"}, train={"max_steps": 2}),
        splits={"train": rows, "validation": rows[:77], "test": rows[:77]},
    )
    record = json.loads((result.folder / "predictions.jsonl").read_text().splitlines()[0])
    assert len(record["probabilities"]) == 77


@pytest.fixture(scope="module")
def answering(t5: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that learns to write answers."""
    rows = questions(unanswerable=False)
    recipe = small(
        t5,
        tmp_path_factory.mktemp("runs"),
        task={"name": "question_answering", **LENGTHS},
        train={"epochs": 16, "learning_rate": 1e-2, "log_every": 1, "evaluate_every": 1000, "dropout": 0.0},
    )
    return run_recipe(recipe, splits={"train": rows, "validation": rows, "test": rows})


def test_answers_are_learnt(answering: Any) -> None:
    result = answering
    found = losses(result.folder)
    assert np.mean(found[-5:]) < 0.3 * np.mean(found[:5])
    assert result.metrics["test"]["answer_f1"] > 0.5
    rows = [json.loads(line) for line in (result.folder / "predictions.jsonl").read_text().splitlines()]
    for row in rows:
        place = row["context"][max(row["start"], 0) : row["end"]] if row["start"] >= 0 else None
        assert place is None or place.lower() == row["answer"].lower()
    said: Any = textxfer.pipeline(result.model)
    answers = said([{"question": row["question"], "context": row["context"]} for row in rows])
    assert [each["answer"] for each in answers] == [row["answer"] for row in rows]
    assert [each["score"] for each in answers] == pytest.approx([row["score"] for row in rows], abs=1e-5)


# --- mistakes


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"head": {"start": "probe"}}, r"head\.start: .*text2text has none; leave it out"),
        ({"freeze": {"layers": "all"}}, r"freeze\.layers: leaves nothing to train"),
        ({"freeze": {"thaw_every": 1}}, r"freeze\.thaw_every: leaves nothing to train"),
        ({"train": {"head_learning_rate": 1e-3}}, r"train\.head_learning_rate: text2text has no head"),
        ({"task": {"name": "topic", "multi_label": True}}, r"task\.multi_label: .* writes one label a text"),
        ({"task": {"labels": ["good", "bad"]}, "head": {"words": {"god": "x"}}}, r"did you mean `good`"),
        ({"lora": {"merge": False}}, r"lora\.merge: "),
        ({"head": {"word": {"good": "x"}}}, r"head\.word: unknown key"),
        ({"head": {"words": {"good": 1}}}, r"head\.words\.good"),
        ({"head": {"hidden": [5]}}, r"head\.hidden: unknown key"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_recipes_that_can_never_work(sections: dict[str, Any], message: str, t5: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(small(t5, tmp_path, **sections), rows_given=True)


def test_a_phase_that_would_train_nothing(t5: Path, tmp_path: Path) -> None:
    recipe = small(t5, tmp_path)
    recipe["train"] = {"phases": [{"freeze": {"layers": "all"}, "steps": 1}, {"steps": 1}]}
    with pytest.raises(RecipeError, match=r"train\.phases\[0\]\.freeze\.layers: leaves nothing to train"):
        load_recipe(recipe, rows_given=True)


def test_words_are_for_labels(t5: Path, tmp_path: Path) -> None:
    recipe = small(t5, tmp_path, head={"words": {"good": "x"}})
    recipe["task"] = {"name": "question_answering", **LENGTHS}
    with pytest.raises(RecipeError, match=r"head\.words: are for labels, and this task gives answers"):
        load_recipe(recipe, rows_given=True)


def test_a_plugin_s_task_that_cannot_be_written(t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    plugin = tmp_path / "bare_task.py"
    plugin.write_text(
        "from typing import Literal\n"
        "from textxfer.registry import register\n"
        "from textxfer.section import Section\n"
        "class Config(Section):\n"
        "    name: Literal['bare_task'] = 'bare_task'\n"
        "class Bare:\n"
        "    predicts, label_names, default_metrics, select_by = 'labels', None, ('accuracy',), 'accuracy'\n"
        "register('tasks', 'bare_task')(Bare)\n"
    )
    recipe = small(t5, tmp_path, plugins=[str(plugin)])
    recipe["task"] = {"name": "bare_task"}
    with pytest.raises(RecipeError, match="does not know how to write this task"):
        load_recipe(recipe, rows_given=True)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_family_that_does_not_write(family: str, checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    recipe = load_recipe(small(checkpoints(family), tmp_path), rows_given=True)
    with pytest.raises(CheckpointError, match=f"'{family}' do not write texts"):
        prepare(recipe, splits())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"good": "the film", "bad": "the film"}, "have the same words"),
        ({"good": ""}, "make no token"),
        ({"great": "x"}, "unknown label `great`"),
    ],
)
def test_words_that_do_not_fit_the_rows(words: dict[str, str], message: str, t5: Path, tmp_path: Path) -> None:
    recipe = load_recipe(small(t5, tmp_path, head={"words": words}), rows_given=True)
    with pytest.raises(RecipeError, match=message):
        prepare(recipe, splits())


def test_words_that_do_not_fit_are_told_before_checkpoints_are_ranked(
    t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Any] = []
    monkeypatch.setattr(ranking, "look", lambda *_, **__: looks.append(1))
    other = shutil.copytree(t5, tmp_path / "other")
    recipe = small(t5, tmp_path, head={"words": {"great": "x"}}) | {"checkpoint": {"auto": [str(t5), str(other)]}}
    with pytest.raises(CheckpointError, match="unknown label `great`"):
        run_recipe(recipe, splits=splits())
    assert not looks


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": {"good": "x"}}, "its `words` are not those of its labels"),
        ({"words": {"good": "x", "bad": "x"}}, "have the same words"),
        ({"temperature": 0}, "its `temperature` is 0"),
        ({"prompts": 3}, "is not understood"),
    ],
)
def test_settings_of_a_saved_model_that_are_not_understood(
    change: dict[str, Any], message: str, learnt: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(learnt.model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["textxfer"] |= change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        textxfer.pipeline(folder)


@pytest.mark.slow
def test_exported_it_says_the_same(learnt: Any, tmp_path: Path) -> None:
    from textxfer.serving.export import export_onnx

    pytest.importorskip("onnxscript")
    model = tmp_path / "model"
    shutil.copytree(learnt.model, model)
    config = json.loads((model / "config.json").read_text())
    config["textxfer"]["temperature"] = 3.0
    (model / "config.json").write_text(json.dumps(config))
    assert export_onnx(model, tmp_path / "onnx").agreement == 1
    texts = [row["text"] for row in reviews()[:6]]
    stock, exported = textxfer.pipeline(model), textxfer.pipeline(tmp_path / "onnx", backend="onnx")
    for one, other in zip(stock(texts, top_k=None), exported(texts, top_k=None), strict=True):  # type: ignore[operator]
        for first, second in zip(one, other, strict=True):
            assert second["label"] == first["label"]
            assert second["score"] == pytest.approx(first["score"], abs=1e-4)


def test_answers_are_not_exported(answering: Any, tmp_path: Path) -> None:
    from textxfer.serving.export import export_onnx

    pytest.importorskip("onnxscript")
    with pytest.raises(CheckpointError, match=r"writes its answers .* cannot be exported"):
        export_onnx(answering.folder, tmp_path / "onnx")


@pytest.mark.slow
def test_it_is_verified_by_plain_transformers(learnt: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from textxfer.errors import PushError
    from textxfer.publishing.verify import verify

    assert verify(learnt.folder) < 1e-4
    folder = shutil.copytree(learnt.folder, tmp_path / "run")
    config = json.loads((folder / "model" / "config.json").read_text())
    config["textxfer"]["words"] = {"good": "the film was dull", "bad": "the film was fine"}
    (folder / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(PushError, match="other logits"):
        verify(folder)
    weights = load_file(learnt.model / "model.safetensors")
    weights["shared.weight"] *= 1.01
    shutil.copy(learnt.model / "config.json", folder / "model" / "config.json")
    save_file(weights, folder / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PushError, match="other logits"):
        verify(folder)


@pytest.mark.parametrize("run", ["learnt", "answering"])
def test_what_the_model_card_shows_runs(
    run: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = request.getfixturevalue(run)
    monkeypatch.chdir(result.model)
    card = card_of(result.folder)
    assert 'pipeline("text-classification"' not in card
    own, stock = snippets_of(card)
    exec(own, {})
    assert ("'label': '" if run == "learnt" else "'answer': '") in capsys.readouterr().out
    exec(stock, {})
    assert run == "answering" or "the film was" in capsys.readouterr().out  # a part without the answer has none
