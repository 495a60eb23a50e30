"""What goes out with a model whose head is one of textxfer's, and what its card says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from textxfer.errors import PushError
from textxfer.publishing.files import uploads
from textxfer.publishing.model_card import model_card
from textxfer.publishing.verify import verify


@pytest.mark.slow
@pytest.mark.parametrize(("family", "pooling"), [("bert", "mean"), ("gpt2", "last"), ("t5", "mean")])
def test_a_model_as_the_run_made_it_passes(family: str, pooling: str, with_head: Any) -> None:
    assert verify(with_head(family, "sentiment", pooling)) < 1e-5


@pytest.mark.slow
def test_a_head_of_another_run_is_noticed(with_head: Any, tmp_path: Path) -> None:
    run = Path(shutil.copytree(with_head(), tmp_path / "run"))
    shutil.copy(with_head("gpt2", "sentiment", "last") / "model" / "head.safetensors", run / "model")
    with pytest.raises(PushError, match="other logits than at the end of the run"):
        verify(run)
    (run / "model" / "head.safetensors").write_bytes(b"cut off")
    with pytest.raises(PushError, match=r"textxfer cannot load it: .*its head\.safetensors is damaged"):
        verify(run)


@pytest.mark.parametrize("missing", ["head.json", "head.safetensors"])
def test_both_files_of_the_head_go_or_nothing(missing: str, with_head: Any, tmp_path: Path) -> None:
    run = Path(shutil.copytree(with_head(), tmp_path / "run"))
    assert {"head.json", "head.safetensors"} <= {file.name for file in uploads(run, "me/it")}
    (run / "model" / missing).unlink()
    with pytest.raises(PushError, match=f"has no {missing}; put the files of the run back"):
        uploads(run, "me/it")


def test_the_card_says_that_textxfer_loads_it(with_head: Any) -> None:
    text = model_card(with_head())
    metadata = yaml.safe_load(text.split("---")[1])
    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("textxfer", "text-classification")
    assert "The head is one of textxfer's (`pip install textxfer`)" in text
    assert "from transformers import" not in text
    bold = "**Load it with textxfer: `transformers.pipeline` and `AutoModelForSequenceClassification` would put a head"
    assert text.index("## Use") < text.index(bold) < text.index("import textxfer\n")
    assert "  name: mlp\n" in text


def test_the_card_of_a_stock_head_warns_of_nothing(trained: Any) -> None:
    assert "random weights" not in model_card(trained())


def test_transformers_does_what_the_card_warns_of(with_head: Any) -> None:
    """It loads the model without an error, and its head is none that was trained."""
    import transformers

    kind = transformers.AutoModelForSequenceClassification
    _, info = kind.from_pretrained(with_head() / "model", output_loading_info=True)
    assert [name for name in info["missing_keys"] if name.startswith("classifier.")]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "backbone"), [("bert", "BertModel"), ("t5", "T5EncoderModel")])
def test_its_snippet_runs_as_printed(family: str, backbone: str, with_head: Any) -> None:
    run = with_head(family)
    card = model_card(run)
    assert f"transformers alone loads the backbone (`{backbone}`)" in card
    [code] = [part.split("```")[0] for part in card.split("```python\n")[1:]]
    done = subprocess.run([sys.executable, "-c", code], cwd=run / "model", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'label': " in done.stdout
