"""What the recipe left open and the run chose: the checkpoint, the road with few rows, how many layers are frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from textxfer.recipe.public import public_name
from textxfer.report import plots
from textxfer.report.pieces import Column, Figure, Figures, Section, Table
from textxfer.report.reading import RunFiles
from textxfer.report.showing import count, score
from textxfer.training.seen import flattered


def section(run: RunFiles) -> Section | None:
    """Gives the ranked checkpoints, the roads' scores and the layers' curve; None where nothing was left open."""
    ranking, road, depth = (run.choices.get(name) for name in ("checkpoint", "road", "depth"))
    blocks: list[Any] = []
    leads = []
    if ranking:
        blocks.append(_ranking(ranking["ranked"]))
        leads.append(f"Of {len(ranking['ranked'])} checkpoints this one was ranked first.")
    if road:
        blocks += [_roads(road["scores"])] if road["scores"] else []
        rows = f"With {count(road['of'])} training rows of {count(road['labels'])} labels"
        leads.append(f"{rows} the run took the road {road['road']} with the head {road['head']}: {road['sentence']}.")
    if depth:
        blocks.append(Figures([_curve(depth["curve"], depth["layers"])]))
        leads.append(f"{depth['layers']} of {len(depth['curve']) - 1} layers are frozen: {depth['sentence']}.")
    if not leads:
        return None
    reading = " ".join([*_seen(ranking), *_readings([part for part in (ranking, depth) if part], road)])
    return Section("choices", "What the run chose", blocks, " ".join(leads), reading)


def _seen(ranking: Mapping[str, Any] | None) -> Iterator[str]:
    """Says which checkpoints were trained on the rows already."""
    for each in ranking["ranked"] if ranking else ():
        if each.get("seen"):
            yield f"{flattered(public_name(each['checkpoint']), each['seen'])}."


def _readings(probed: Sequence[Mapping[str, Any]], road: Mapping[str, Any] | None) -> Iterator[str]:
    if probed:
        rows = max(part["rows"] for part in probed)
        yield (
            f"Chosen by linear probes on {rows:,} training rows, cross-validated, before any step; they foretell what "
            "training comes to roughly, not surely."
        )
    if road and [each["road"] for each in road["scores"]] == ["probe"]:
        gentle = "; the less it lacks, the less the contrastive start moves the backbone"
        gentle = gentle if road["road"] == "contrastive" else ""
        yield f"A probe was cross-validated on {count(road['rows'])} training rows{gentle}."
    elif road and {each["road"] for each in road["scores"]} == {"probe"}:
        yield (
            f"The heads were compared by probes, cross-validated on {count(road['rows'])} training rows; the first "
            "within one standard error of the best was taken. No roads were compared."
        )
    elif road and road["scores"]:
        yield (
            f"The roads were carried out on parts of the training rows and judged on {count(road['rows'])} that were "
            "held out; the cheapest within one standard error of the best was taken."
        )


def _roads(scores: Sequence[Mapping[str, Any]]) -> Table:
    columns = [
        Column("Head", "label"),
        Column("Road", "label"),
        Column("Accuracy", "score"),
        Column("Standard error of the distance to the best", "score"),
        Column("Seconds", "score"),
    ]
    rows = [(each["head"], each["road"], each["accuracy"], each["error"], each["seconds"]) for each in scores]
    return Table("Heads and roads, the cheapest first", columns, rows)


def _ranking(ranked: Sequence[Mapping[str, Any]]) -> Table:
    columns = [
        Column("Checkpoint", "label"),
        Column("Probe", "score"),
        Column("LogME", "score"),
        Column("H-score", "score"),
        Column("Nearest neighbours", "score"),
        Column("Parameters", "count"),
    ]
    keys = ("accuracy", "log_evidence", "h_score", "neighbours", "parameters")
    names = (public_name(each["checkpoint"]) + (" *" if each.get("seen") else "") for each in ranked)
    rows = [(name, *(each[key] for key in keys)) for name, each in zip(names, ranked, strict=True)]
    return Table("Checkpoints, the best first", columns, rows)


def _curve(curve: Sequence[Mapping[str, Any]], chosen: int) -> Figure:
    layers, scores = [each["layer"] for each in curve], [each["accuracy"] for each in curve]
    title = "Probe on each layer"
    told = f"From {score(scores[0])} on the embeddings to {score(scores[-1])} on layer {layers[-1]}; {chosen} frozen."
    line = plots.Curve(layers, scores, dots=True)
    svg = plots.curves("layers", title, f"Accuracy of a probe by layer. {told}", [line], chosen, "layer", "frozen")
    rows = [(each["layer"], each["accuracy"], each["sd"]) for each in curve]
    columns = [Column("Layer", "count"), Column("Accuracy", "score"), Column("Standard deviation", "score")]
    reading = "How many labels a linear probe foretells from the states after each layer; layer 0 is the embeddings."
    return Figure(title, svg, reading, Table(f"{title}, numbers", columns, rows, folded=True))
