"""`textxfer push RUN user/name`: the model of a finished run to the Hugging Face Hub."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textxfer.publishing.hub import Plan

SUMMARY = "push the model of a finished run to the Hugging Face Hub, with its card, scores, report and recipe"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("run", type=Path, help="the folder of a finished run: runs/NAME")
    parser.add_argument("repo", nargs="?", metavar="user/name", help="where to; default: hub.repo of its recipe")
    parser.add_argument("--private", action="store_true", default=None, help="a new repository is private")
    parser.add_argument("--revision", metavar="BRANCH", help="default: hub.revision of its recipe, else main")
    parser.add_argument("--tag", metavar="NAME", help="give the commit this name, such as v1")
    parser.add_argument("--dry-run", action="store_true", help="check everything and list the files; change nothing")


def execute(arguments: argparse.Namespace) -> int:
    """Pushes, or says what would be pushed; prints the page's address."""
    from textxfer.publishing.access import check_access
    from textxfer.publishing.hub import plan_push, upload
    from textxfer.publishing.verify import verify

    plan = plan_push(
        arguments.run, arguments.repo, private=arguments.private, revision=arguments.revision, tag=arguments.tag
    )
    if arguments.dry_run:
        print(f"{_files(plan)}\n{_shown(plan)}", flush=True)
    place = check_access(plan.target)
    apart = verify(plan.run)
    seen = "private" if place.private else "public"
    told = f"{plan.target.repo} ({seen}{'' if place.exists else ', to be made'}), branch {plan.target.revision}"
    if arguments.dry_run:
        print(f"would go to {told}; loaded anew, the model says what it said in the run (logits {apart:.1g} apart)")
        return 0
    print(f"pushing {len(plan.files)} files to {told}; {_shown(plan)}", file=sys.stderr)
    pushed = upload(plan, place, progress=sys.stderr.isatty())
    named = f", tag {plan.target.tag}" if plan.target.tag else ""
    print(f"commit {pushed.commit[:12]}{named}" + ("" if pushed.new else "; all was there already"), file=sys.stderr)
    print(pushed.url)
    return 0


def _files(plan: Plan) -> str:
    width = max(len(file.name) for file in plan.files)
    lines = [f"{file.name:<{width}}  {file.size:>13,} bytes" for file in plan.files]
    lines.append(f"{'in all':<{width}}  {sum(file.size for file in plan.files):>13,} bytes")
    return "\n".join(lines)


def _shown(plan: Plan) -> str:
    names = {file.name for file in plan.files}
    shown = [name for name in ("report.html", "README.md") if name in names]
    return f"{' and '.join(shown)} may show texts of the rows that the model was trained on and judged by"
