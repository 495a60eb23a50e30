"""What the model does, and code that uses it, as the card prints it."""

from __future__ import annotations

import json

from textxfer.publishing._facts import ANSWERS, LABELS, Facts, inline

PLACE = 'model = "."  # the folder of this file; on the Hub: its id'
PLACE_LINE = r'^model = ".*"  # the folder of this file; on the Hub: its id$'
"""What a push replaces by the repository's name."""
MOST_LABELS = 100


def purpose(facts: Facts) -> str:
    """Says what the model does."""
    first = ", pretrained on more texts of the domain," if facts.recipe.get("adapt") else ""
    made = f"Fine-tuned from `{facts.base}`{first} on `{facts.dataset}` with textxfer."
    if facts.writes and facts.purpose == ANSWERS:
        none = ", or nothing where there is none" if facts.settings.get("unanswerable") else ""
        return f"Reads a question and a text, and writes the answer{none}. {made}"
    if facts.purpose == ANSWERS:
        none = ", or says that there is none" if facts.settings.get("unanswerable") else ""
        return f"Finds the answer to a question in a text{none}: a piece of the text, word for word. {made}"
    if facts.purpose != LABELS:
        return f"A model for {facts.task}. {made}"
    what = "a pair of texts" if facts.pairs else "a text"
    names = ", ".join(f"`{inline(name)}`" for name in facts.labels[:MOST_LABELS])
    names += ", ..." if len(facts.labels) > MOST_LABELS else ""
    names += "; in this order, from low to high" if facts.settings.get("ordered") else ""
    some = f"any number of {len(facts.labels)} labels" if facts.several else f"one of {len(facts.labels)} labels"
    return f"A model for {facts.task}: gives {what} {some} ({names}). {made}"


def snippets(facts: Facts) -> str:
    """Gives code that loads the model and asks it something; it runs as it stands."""
    if facts.writes:
        return _written(facts)
    if facts.purpose == ANSWERS:
        return _answers(facts)
    if facts.purpose != LABELS:
        ask = 'print(pipeline("fill-mask", model=model).model.config)'
        return _code("from transformers import pipeline", "", PLACE, ask)
    text, chosen = _example(facts), ', top_k="set"' if facts.several else ""
    own = _code(
        "import textxfer", "", PLACE, "classify = textxfer.pipeline(model)",
        f"print(classify({text}{chosen}))",
    )  # fmt: skip
    if facts.needs_textxfer:
        return f"{_warning(facts)}\n\n{own}"
    every = ", top_k=None" if facts.several else ""
    stock = _code(
        "from transformers import pipeline", "", PLACE,
        'classify = pipeline("text-classification", model=model)',
        f"print(classify({text}, truncation=True{every}))",
    )  # fmt: skip
    why = "batches many texts by length, and takes any iterable of them"
    if facts.several:
        shares = facts.settings.get("thresholds") or [0.5] * len(facts.labels)
        least = ", ".join(f"`{inline(name)}` {share:.2f}" for name, share in zip(facts.labels, shares, strict=True))
        why += f"; it gives the labels that reach their thresholds ({least})"
    return f"{stock}\n\nThe same by textxfer, which {why}:\n\n{own}"


def _warning(facts: Facts) -> str:
    """Says why a model whose head is one of textxfer's is for textxfer to load, and how it does it."""
    kind = (facts.config.get("architectures") or ["AutoModel"])[0]
    return (
        "**Load it with textxfer: `transformers.pipeline` and `AutoModelForSequenceClassification` would put a head of "
        "random weights on it, without an error, and its labels would mean nothing.** The head is one of textxfer's "
        "(`pip install textxfer`), in `head.json` and `head.safetensors` beside the weights; transformers alone loads "
        f"the backbone (`{kind}`), without the head. These two lines load all of it, `import textxfer` and "
        "`classify = textxfer.pipeline(model)`:"
    )


def _example(facts: Facts) -> str:
    row = next(iter(facts.examples), {"text": "Your text.", "text_pair": "Its pair."})
    names = ("text", "text_pair") if facts.pairs else ("text",)
    texts = {name: row.get(name) or "" for name in names}
    return json.dumps(texts if facts.pairs else texts["text"], ensure_ascii=False)


def _answers(facts: Facts) -> str:
    question, context = "When does the library open?", "The library opens at nine and closes at six."
    row = next(iter(facts.examples), {"question": question, "context": context})
    asked = [f"question = {_quoted(row['question'])}", f"context = {_quoted(row['context'])}"]
    own = _code(
        "import textxfer", "", PLACE, *asked,
        "answer = textxfer.pipeline(model)", "print(answer(question=question, context=context))",
    )  # fmt: skip
    most = int(facts.settings.get("max_length", 384))
    stock = _code(
        "import torch", "from transformers import AutoModelForQuestionAnswering, AutoTokenizer", "", PLACE, *asked,
        "tokenizer = AutoTokenizer.from_pretrained(model)",
        "network = AutoModelForQuestionAnswering.from_pretrained(model)",
        f'inputs = tokenizer(question, context, truncation="only_second", max_length={most},',
        '                   return_offsets_mapping=True, return_tensors="pt")',
        'offsets = inputs.pop("offset_mapping")[0].tolist()',
        "with torch.inference_mode():", "    output = network(**inputs)",
        "inside = torch.tensor([part == 1 for part in inputs.sequence_ids(0)])",
        "scores = output.start_logits[0][:, None] + output.end_logits[0][None, :]",
        'scores = scores.masked_fill(~(inside[:, None] & inside).triu(), float("-inf"))',
        "start, end = divmod(int(scores.argmax()), len(inside))",
        "print(context[offsets[start][0] : offsets[end][1]])",
    )  # fmt: skip
    none = "; it also says where there is no answer" if facts.settings.get("unanswerable") else ""
    return (
        f"By textxfer, which reads texts of any length in windows of {most} tokens and gives a probability{none}:\n\n"
        f"{own}\n\nBy transformers alone, the best answer in the first {most} tokens:\n\n{stock}"
    )


def _written(facts: Facts) -> str:
    """Gives code for a model that writes: by textxfer, and by transformers alone."""
    answers = facts.purpose == ANSWERS
    before, between = facts.settings["prompts"]
    most = int(facts.settings.get("max_length", 256))
    if answers:
        question, context = "When does the library open?", "The library opens at nine and closes at six."
        row = next(iter(facts.examples), {"question": question, "context": context})
        asked = [f"question = {_quoted(row['question'])}", f"context = {_quoted(row['context'])}"]
        use = ["answer = textxfer.pipeline(model)", "print(answer(question=question, context=context))"]
        text = f"{_quoted(before)} + question + {_quoted(between + ' ')} + context"
    else:
        asked, use = [], ["classify = textxfer.pipeline(model)", f"print(classify({_example(facts)}))"]
        row = next(iter(facts.examples), {"text": "Your text.", "text_pair": "Its pair."})
        second = f" {between}{row.get('text_pair') or ''}" if facts.pairs else ""
        text = _quoted(f"{before}{row.get('text') or ''}{second}")
    own = _code("import textxfer", "", PLACE, *asked, *use)
    stock = _code(
        "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer", "", PLACE, *asked,
        "tokenizer = AutoTokenizer.from_pretrained(model)",
        "network = AutoModelForSeq2SeqLM.from_pretrained(model)",
        f"text = {text}",
        f'inputs = tokenizer(text, truncation=True, max_length={most}, return_tensors="pt")',
        "written = network.generate(**inputs, max_new_tokens=32)",
        "print(tokenizer.decode(written[0], skip_special_tokens=True))",
    )  # fmt: skip
    what = (
        f"reads texts of any length in windows of {most} tokens and gives a probability"
        if answers
        else "gives the probability of every label's words, and never other words"
    )
    return f"By textxfer, which {what}:\n\n{own}\n\nBy transformers alone, which writes:\n\n{stock}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _code(*lines: str) -> str:
    return "```python\n" + "\n".join(lines) + "\n```"
