"""Calibration, thresholds and label sets of real models, saved and used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textxfer
from tests import tiny
from tests.trained import BAD, GOOD
from textxfer.evaluation.calibrate import calibration_error, probabilities_of
from textxfer.evaluation.evaluate import evaluate
from textxfer.evaluation.finishing import Finished, Labelled, finish
from textxfer.evaluation.forward import forward
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import last_linear
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.rescale import rescale
from textxfer.modeling.saving import save_model
from textxfer.registry import load

LABELS = LabelSet(("bad", "good", "so-so"))
FACTOR = 3.0
"""How much too sure the models are."""


@dataclass
class Material:
    """A model that is too sure by a known factor, and labels drawn from what it should say."""

    task: Any
    model: Any
    checkpoint: Checkpoint
    texts: list[str]
    logits: Any
    references: Any

    def labelled(self, places: slice) -> Labelled:
        return Labelled(self.logits[places], self.references[places])

    def forward(self) -> Any:
        import datasets

        encoded = self.task.encode(datasets.Dataset.from_dict({"text": self.texts}), self.checkpoint.tokenizer, None)
        pad = self.checkpoint.tokenizer.pad_token_id
        return forward(self.model, self.task, encoded, pad_token_id=pad).reduced["logits"]

    def save(self, folder: Path, finished: Finished) -> Path:
        settings = self.task.settings() | finished.settings
        save_model(self.model, self.checkpoint.tokenizer, folder / "model", settings)
        return folder / "model"


def centre(made: Material) -> None:
    """Takes out of the head what it says of every text, so that all labels occur."""
    import torch

    layer: Any = last_linear(made.model)
    seen: list[Any] = []
    hook = layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].flatten(0, -2)))
    made.forward()
    hook.remove()
    mean = torch.cat(seen).mean(dim=0)
    with torch.no_grad():
        layer.weight -= torch.outer(layer.weight @ mean, mean) / (mean @ mean)
        if layer.bias is not None:
            layer.bias.zero_()


@pytest.fixture
def material(checkpoints: Any) -> Any:
    import torch

    def make(family: str = "bert", several: bool = False, rows: int = 900) -> Material:
        rng = np.random.default_rng(0)
        words = " ".join(GOOD + BAD).split()
        texts = [" ".join(rng.choice(words, size=rng.integers(1, 12))) for _ in range(rows)]
        checkpoint = open_checkpoint(str(checkpoints(family)))
        task = load("tasks", "topic")(max_length=32, multi_label=several)
        model: Any = build(checkpoint, task.auto_class, LABELS, multi_label=several).model
        torch.manual_seed(0)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.1)
        made = Material(task, model, checkpoint, texts, None, None)
        centre(made)
        rescale(model, float(made.forward().std()) / (2 * FACTOR))
        made.logits = made.forward()
        shares = probabilities_of(made.logits / FACTOR, several=several)
        if several:
            made.references = (rng.random(shares.shape) < shares).astype(np.int64)
        else:
            made.references = (shares.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
        return made

    return make


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_stock_transformers_shows_the_calibrated_probabilities(family: str, material: Any, tmp_path: Path) -> None:
    import transformers

    made = material(family)
    labels_before = made.logits.argmax(axis=1)
    finished = finish(made.model, made.task, made.labelled(slice(0, 500)), made.labelled(slice(500, 900)))
    temperature = finished.calibration.temperature
    assert temperature == pytest.approx(FACTOR, rel=0.4)
    classify = transformers.pipeline("text-classification", model=str(made.save(tmp_path, finished)))
    some = made.texts[:40]
    expected = probabilities_of(made.logits[:40].astype(np.float64) / temperature, several=False)
    stock = classify(some, top_k=None, truncation=True)
    for given, shares, label in zip(stock, expected, labels_before, strict=False):
        assert given[0]["label"] == LABELS.names[label], "labels are what they were"
        found = {each["label"]: each["score"] for each in given}
        assert [found[name] for name in LABELS.names] == pytest.approx(shares, abs=1e-5)
    ours = textxfer.pipeline(tmp_path / "model")(some, top_k=None)
    assert [[each["label"] for each in row] for row in ours] == [[each["label"] for each in row] for row in stock]


def test_calibrated_model_is_less_wrong_about_itself_on_new_rows(material: Any) -> None:
    made = material(rows=2000)
    new, references = slice(1000, 2000), made.references[1000:]
    before = calibration_error(probabilities_of(made.logits[new], several=False), references)
    finished = finish(made.model, made.task, made.labelled(slice(0, 1000)))
    after = calibration_error(probabilities_of(made.forward()[new], several=False), references)
    assert after < 0.07 < before
    assert finished.calibration.before.calibration_error == pytest.approx(before, abs=0.05)


def test_label_sets_hold_what_they_promise(material: Any, tmp_path: Path) -> None:
    made = material(rows=2000)
    finished = finish(made.model, made.task, made.labelled(slice(0, 500)), made.labelled(slice(500, 1000)))
    assert finished.notes[-1] == "label sets at a stated coverage, 0.5 to 0.998: measured on 500 rows held back"
    assert finished.conformal is not None
    right = probabilities_of(made.forward()[500:1000], several=False)[np.arange(500), made.references[500:1000]]
    assert finished.conformal.least(0.9) == pytest.approx(np.sort(right)[::-1][451 - 1], abs=1e-5), "calibrated ones"
    classify: Any = textxfer.pipeline(made.save(tmp_path, finished))
    references = [LABELS.names[label] for label in made.references[1000:]]
    sizes = []
    for coverage in (0.6, 0.9, 0.95, 0.998):
        sets = classify(made.texts[1000:], coverage=coverage)
        names = [[one["label"] for one in each] for each in sets]
        hits = np.mean([label in each for label, each in zip(references, names, strict=True)])
        assert hits > coverage - 0.05
        assert all(1 <= len(each) <= 3 for each in names)
        sizes.append(np.mean([len(each) for each in names]))
    assert sizes == sorted(sizes)
    assert sizes[0] < 1.5 < sizes[-1]
    (first, *_), alone = classify(made.texts[1000:], coverage=0.9), classify(made.texts[1000], coverage=0.9)
    assert [one["label"] for one in first] == [one["label"] for one in alone]
    scores = [one["score"] for one in classify(made.texts[1000], coverage=0.998)]
    assert scores == sorted(scores, reverse=True)


def test_thresholds_go_round(material: Any, tmp_path: Path) -> None:
    """Tuned, saved, read again, and used by the pipeline as by the evaluation of the run."""
    import datasets

    made = material(several=True)
    finished = finish(made.model, made.task, made.labelled(slice(0, 600)))
    thresholds = finished.calibration.thresholds
    assert thresholds is not None
    assert any(threshold != 0.5 for threshold in thresholds)
    assert isinstance(finished.calibration.temperature, tuple)
    folder = made.save(tmp_path, finished)
    written = json.loads((folder / "config.json").read_text())["textxfer"]
    assert written["thresholds"] == list(thresholds)
    assert "conformal" not in written
    rows = datasets.Dataset.from_dict(
        {
            "text": made.texts,
            "label": [[LABELS.names[place] for place in np.flatnonzero(row)] for row in made.references],
        }
    )
    encoded = made.task.encode(rows, made.checkpoint.tokenizer, LABELS)
    judged = evaluate(
        made.model, made.task, encoded, rows, LABELS, ["macro_f1"], pad_token_id=made.checkpoint.tokenizer.pad_token_id
    )
    shares = judged.predictions.probabilities
    assert shares is not None
    np.testing.assert_array_equal(judged.predictions.predicted, shares >= np.array(thresholds))
    assert (judged.predictions.predicted != (shares >= 0.5)).any()
    classify: Any = textxfer.pipeline(folder)
    sets = [{one["label"] for one in each} for each in classify(made.texts, top_k="set")]
    assert sets == [{LABELS.names[place] for place in np.flatnonzero(row)} for row in judged.predictions.predicted]
    assert {len(each) for each in sets} > {1}


def test_model_whose_head_is_of_another_make_goes_uncalibrated(material: Any) -> None:
    import torch

    made = material()
    made.model.classifier = torch.nn.Sequential(made.model.classifier)
    finished = finish(made.model, made.task, made.labelled(slice(0, 500)), made.labelled(slice(500, 900)))
    assert finished.calibration.temperature is None
    assert finished.notes[0].startswith("not calibrated: its head ends in Sequential(")
    np.testing.assert_array_equal(made.forward(), made.logits)
    right = probabilities_of(made.logits[500:], several=False)[np.arange(400), made.references[500:]]
    assert finished.conformal is not None
    assert finished.conformal.least(0.9) == pytest.approx(np.sort(right)[::-1][361 - 1], abs=2e-6)


def test_too_few_rows_for_anything(material: Any) -> None:
    made = material()
    finished = finish(made.model, made.task, made.labelled(slice(0, 90)))
    assert finished.notes == (
        "not calibrated: validation has 90 rows, and fewer than 100 say too little; give it more",
        "no label sets at a stated coverage: validation has 90 rows, and they need 300",
    )
    assert finished.settings == {}
    assert made.task.settings() == {"task": "topic", "max_length": 32}
    np.testing.assert_array_equal(made.forward(), made.logits)


def test_mode_of_the_model_is_left(material: Any) -> None:
    made = material()
    made.model.train()
    finish(made.model, made.task, made.labelled(slice(0, 500)))
    assert made.model.training
