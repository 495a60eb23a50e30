"""The sections of a recipe: every field, its type, its default and what it means.

The text under a field is its documentation: editors show it, and `recipes/REFERENCE.md` is made from it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from textxfer.labels import label_name
from textxfer.recipe.freeze_sections import FixedFreeze, Phase, PositiveInt
from textxfer.section import Section


def _tuple_of_names(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        return value
    return tuple(label_name(item) if isinstance(item, (str, bool, int, float)) else item for item in value)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else _as_tuple(value)


def _two_at_least(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(seeds) < 2:
        raise ValueError("needs two seeds at least; for one there is `train.seed`")
    return _unique(seeds)


def _unique(names: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"names `{twice}` twice")
    return names


Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_tuple_of_names),
    AfterValidator(_unique),
    Field(min_length=1),
    WithJsonSchema({"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1}),
]
Phases = Annotated[tuple[Phase, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Candidates = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), AfterValidator(_unique), Field(min_length=2)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_as_tuple), AfterValidator(_two_at_least)]
Trackers = Annotated[
    tuple[
        Literal["tensorboard", "wandb", "comet_ml", "aim", "mlflow", "clearml", "dvclive", "swanlab", "trackio"], ...
    ],
    BeforeValidator(_as_tuple),
    AfterValidator(_unique),
]
TextPlaces = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_many),
    AfterValidator(_unique),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Fraction = Annotated[float, Field(ge=0, lt=1)]
RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
ADAPTED = "adapted"
"""Folder, among those of runs, of the checkpoints that `adapt` made; no run's name."""
SIZE = r"^\d+ ?(B|KiB|MiB|GiB|TiB)$"
PATTERNS = {
    RUN_NAME: "letters, digits, `.`, `_` and `-`, a letter or digit first",
    SIZE: "a size such as `4GiB` (B, KiB, MiB, GiB or TiB)",
}
"""What each form of a text is in words."""
TASK_TEXTS = "task"
"""What stands for the task's own training texts among places of texts."""
Size = Annotated[str, Field(pattern=SIZE)]
Weights = dict[str, Annotated[float, Field(gt=0)]]


class Checkpoint(Section):
    """The pretrained weights to start from; `checkpoint: ID` is short for `{id: ID}`. Name either `id` or `auto`."""

    id: str | None = None
    """A folder (relative to the recipe) if there is one of that name, `package:<importable package>/<path inside>`,
    else a Hub id; `id@revision` names a revision too."""
    revision: str | None = None
    """Branch, tag or commit of a Hub checkpoint."""
    auto: Candidates | None = None
    """Two checkpoints or more, each as `id` names one: what they make of 2,000 training rows or fewer ranks them, as
    `textxfer rank` does, and the run takes the first. One that was trained on these rows already is marked, as far as
    its run, or its card, tells."""


class Dataset(Section):
    """The rows; `dataset: PATH` is short for `{path: PATH}`. Name either `path` or `hub`."""

    path: str | None = None
    """A file (csv, tsv, json, jsonl, parquet, txt; json in SQuAD's form for question answering), which is split, or a
    folder with a file per split. Relative to the recipe."""
    hub: str | None = None
    """Id of a data set on the Hub."""
    config: str | None = None
    """Configuration of a Hub data set."""
    revision: str | None = None
    """Branch, tag or commit of a Hub data set."""
    train: str | None = None
    """File name (with `path`) or split name (with `hub`) of the training rows. Default: found by name."""
    validation: str | None = None
    """The same for validation rows."""
    test: str | None = None
    """The same for test rows."""
    text: str = "text"
    """Column of the text."""
    text_pair: str | None = None
    """Column of a second text, for tasks on pairs."""
    label: str = "label"
    """Column of the label: texts, numbers or booleans; lists of them for several labels a row."""
    label_delimiter: str | None = None
    """What separates the labels of a row in a text column, for several labels a row."""
    question: str = "question"
    """Column of the question (question answering)."""
    context: str = "context"
    """Column of the passage to find the answer in (question answering)."""
    answers: str = "answers"
    """Column of the answers, `{text: [...], answer_start: [...]}` (question answering)."""
    limit: PositiveInt | None = None
    """Use only the first rows of each split, for a quick try."""
    drop: str | None = None
    """A list (csv) of training rows to leave out: those with x in its column `drop`. A row with a number above 0, up to
    1, in its column `weight` stays and counts that much in the loss. `textxfer suspects` writes such lists, for review.
    Relative to the recipe."""
    validation_fraction: Fraction = 0.1
    """Share of the training rows cut off for validation where there is no validation split; 0 trains on all rows and
    keeps the last weights."""
    test_fraction: Fraction = 0.1
    """Share of the rows cut off for the test, where `path` is a single file."""
    split_seed: Seed = 0
    """Seed of these cuts, apart from `train.seed`."""


class PrefixCache(Section):
    """Where the output of frozen layers is kept."""

    memory: Size | None = None
    """Most memory to use, as in `4GiB`; beyond it a file is used. Default: half of what is free."""
    directory: str | None = None
    """Folder in which it is kept for later runs, relative to where the command runs. Default: not kept."""


class Train(Section):
    """How the weights are trained."""

    epochs: PositiveInt = 3
    """Passes over the training rows."""
    max_steps: PositiveInt | None = None
    """Stop after this many optimizer steps, whatever `epochs` says."""
    phases: Phases | None = None
    """Phases one after the other, instead of `epochs`, `max_steps` and the section `freeze`. Best weights, patience and
    the order of rows go on through all of them. A first phase with `freeze: {layers: all}` takes no steps where the
    head starts from a probe: that is its answer."""
    batch_size: PositiveInt = 32
    """Examples of one optimizer step, over all devices."""
    micro_batch_size: PositiveInt | Literal["auto"] = "auto"
    """Examples of one forward pass on one device. `auto`: as many as fit; it halves when memory runs out and repeats
    the step."""
    batching: Literal["length", "random"] = "length"
    """`length` puts texts of like length into one batch, which saves padding; `random` does not look at lengths."""
    learning_rate: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """Highest learning rate. `auto` goes by the checkpoint: 5e-5 where a token's state has 768 numbers, more where it
    has fewer, in proportion (1e-4 for 384); four times that for T5, ten times with `lora`."""
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Highest learning rate of the head. Default: `learning_rate`."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each layer learns at this share of the rate of the one above it, the topmost at this share of `learning_rate`,
    the embeddings at the least. 1: all learn at the same."""
    warmup_ratio: Fraction = 0.1
    """Share of the steps in which the learning rate rises to its highest."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's weight decay; norms and biases have none."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Gradients are scaled down to this norm; null: never."""
    label_smoothing: Fraction = 0.0
    """Share of the target that is spread over all labels."""
    class_weights: Literal["none", "balanced"] | Weights = "none"
    """What a training row of each label counts in the loss. `balanced`: rows of rare labels count more, so that all
    labels count the same; with label sets, so that the rows with a label count as much as those without it."""
    dropout: Fraction | None = None
    """Replaces all dropout rates of the checkpoint."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of training. `auto`: bf16 where the device does it well, else fp32. Weights are always fp32."""
    prefix_cache: Literal["auto", "off"] | PrefixCache = "auto"
    """Whether the output of frozen layers is computed once and kept: in memory, or in a file while the run lasts."""
    cuda_graphs: Literal["auto", "off"] = "auto"
    """Whether whole steps are recorded and replayed on a CUDA GPU, where launching their parts takes longer. With `off`
    an interrupted run goes on bit for bit there; recorded steps may draw other dropout from then on."""
    activation_checkpointing: bool = False
    """Trade time for memory: recompute activations in the backward pass."""
    seed: Seed = 0
    """Seed of the new head, the order of rows and dropout."""
    seeds: Seeds | None = None
    """Several seeds instead of one: a run for each, on the same splits, and the mean and spread of their scores."""
    patience: PositiveInt | None = None
    """Stop after this many evaluations without a better `evaluate.select_by`."""
    evaluate_every: PositiveInt | Literal["epoch"] = "epoch"
    """Evaluate on validation every so many optimizer steps, or every epoch; the last step is always evaluated."""
    save_every: PositiveInt | Literal["epoch", "never"] = "epoch"
    """Save the state to resume from every so many optimizer steps, or at the end of an epoch (at most once a minute).
    An interrupted run is saved whatever this says."""
    log_every: PositiveInt = 10
    """Write a line of log.jsonl every so many optimizer steps."""
    trackers: Trackers = ()
    """Where curves go beside log.jsonl, by the names that Accelerate knows, as in `[tensorboard]`; TensorBoard's files
    are in `trackers/` of the run folder."""


class Adapt(Section):
    """Pretraining that goes on with texts of the task's domain, before the task (Gururangan et al. 2020).

    Words are masked for BERT and its kin, spans for T5, and GPT-2 predicts each next token. The adapted checkpoint is
    kept in `adapted` under `output.directory`, and used again by every run with the same checkpoint, texts and fields.
    """

    texts: TextPlaces
    """Where the texts are: files (csv, tsv, json, jsonl, parquet, txt: a text a line) or folders of them, relative to
    the recipe, ids of data sets on the Hub (their split `train`), and `task` for the task's own training texts; one or
    a list. No labels are needed. Repeated texts count once."""
    text: str = "text"
    """Column of the text, for those that have columns."""
    shared: Literal["error", "drop"] = "error"
    """What to do with texts that are validation or test rows of the task, too: they are an `error`, or left out. Those
    of `task` are always left out."""
    held_back: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the texts that is held back to measure the perplexity; 50 at least, or a fifth where that is less."""
    epochs: PositiveInt = 3
    """Passes over the texts."""
    steps: PositiveInt | None = None
    """Stop after this many optimizer steps, whatever `epochs` says."""
    batch_size: PositiveInt = 32
    """Texts, or pieces of long texts, of one optimizer step, over all devices."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Highest learning rate."""
    warmup_ratio: Fraction = 0.1
    """Share of the steps in which the learning rate rises to its highest."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's weight decay; norms and biases have none."""
    mask_rate: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the tokens that are hidden; GPT-2 hides none."""
    max_length: Annotated[int, Field(ge=8)] = 128
    """Longest piece of a text in tokens; never above the checkpoint's limit. Longer texts become several pieces."""
    freeze: FixedFreeze = FixedFreeze()
    """What keeps its weights. Masks change in each step, so the output of frozen layers is not kept."""
    seed: Seed = 0
    """Seed of the masks, a new head, the order of texts and dropout."""


class Lora(Section):
    """Low-rank updates instead of whole layers (LoRA, Hu et al. 2022); the head is trained as ever.

    Needs the extra `lora`. Frozen layers get no updates: `freeze.layers` says which get some.
    """

    rank: PositiveInt = 8
    """Rank of the updates."""
    alpha: Annotated[float, Field(gt=0)] = 16
    """Updates are multiplied by alpha / rank."""
    dropout: Fraction = 0.0
    """Dropout on what goes into the updates."""
    targets: Names | None = None
    """Names of the modules that are updated, as in `[query, value]`. Default: what makes the queries and values of
    attention."""
    merge: bool = True
    """The saved model has the updates in its weights and is a stock one. `false`: the updates and the head are kept
    beside it, too, in `adapter/` of the run folder, as peft loads them."""


class Evaluate(Section):
    """How the model is judged."""

    metrics: Names | None = None
    """Names of metrics. Default: the task's."""
    select_by: str | None = None
    """The metric on validation that chooses the best weights and that `train.patience` watches. Default: the task's."""


class Output(Section):
    """Where the run folder goes."""

    directory: str = "runs"
    """Parent of the run folder, relative to where the command runs."""


def in_bytes(size: str) -> int:
    """Gives the bytes of a size such as "4GiB"."""
    number, unit = size.rstrip("BKMGTi "), size.lstrip("0123456789 ")
    return int(number) << 10 * ["B", "KiB", "MiB", "GiB", "TiB"].index(unit)
