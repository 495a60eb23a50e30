"""What a run ran on: versions, hardware, and fingerprints of data and weights."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textxfer.records import Splits

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from textxfer.modeling.checkpoint import Checkpoint

PACKAGES = ("textxfer", "torch", "transformers", "tokenizers", "datasets", "accelerate", "safetensors", "numpy")
ROWS_AT_A_TIME = 10_000
HOW_NOT_WHAT = (
    "log_every",
    "save_every",
    "prefix_cache",
    "micro_batch_size",
    "activation_checkpointing",
    "trackers",
)


def describe(accelerator: Accelerator, seed: int, checkpoint: Checkpoint) -> dict[str, Any]:
    """Gives versions, hardware, seed and checkpoint, as environment.json has them."""
    import torch

    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {package: _version(package) for package in PACKAGES},
        "device": {"type": device.type, "name": name, "processes": accelerator.num_processes, "cores": os.cpu_count()},
        "precision": precision_of(accelerator),
        "seed": seed,
        "checkpoint": checkpoint.id,
        "checkpoint_revision": getattr(checkpoint.config, "_commit_hash", None) or checkpoint.revision,
    }


def precision_of(accelerator: Accelerator) -> str:
    """Gives the precision of a run by the name that recipes have for it."""
    precision = str(accelerator.mixed_precision)
    return {"no": "fp32"}.get(precision, precision)


def identity(
    asked: Mapping[str, Any],
    done: Mapping[str, Any],
    splits: Splits,
    model: torch.nn.Module,
    accelerator: Accelerator,
) -> dict[str, str]:
    """Gives what must be the same for two runs to be the same.

    Args:
        asked: The recipe as it was given, resolved.
        done: The recipe as it is carried out, which recipe.yaml has.
        splits: Checked and cut.
        model: Before the first step.
        accelerator: Of the run.
    """
    return {
        "recipe": recipe_fingerprint(asked),
        "resolved": recipe_fingerprint(done),
        "data": data_fingerprint(splits),
        "weights": weight_fingerprint(model),
        "processes": str(accelerator.num_processes),
    }


def is_recipe_of(fingerprint: str, known: Mapping[str, str]) -> bool:
    """Says whether a recipe is the one that a run was asked for, or the one that its folder holds.

    Args:
        fingerprint: Of the recipe.
        known: What `identity` gave for the run.
    """
    return fingerprint in (known.get("recipe"), known.get("resolved"))


def data_fingerprint(splits: Splits) -> str:
    """Gives the SHA-256 of all rows that a task sees, split by split: of content, not of names or dates."""
    digest = hashlib.sha256()
    for name, split in splits.present(reserved=True):
        digest.update(f"{name}\n".encode())
        for start in range(0, len(split), ROWS_AT_A_TIME):
            digest.update(json.dumps(split.rows[start : start + ROWS_AT_A_TIME], sort_keys=True).encode())
    return digest.hexdigest()


def weight_fingerprint(model: torch.nn.Module) -> str:
    """Gives the SHA-256 of all parameters and buffers of a model, name by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().contiguous().cpu().numpy())
    return digest.hexdigest()


def recipe_fingerprint(resolved: Mapping[str, Any]) -> str:
    """Gives the SHA-256 of a resolved recipe, leaving out what changes how a run works and not what it learns."""
    aside = ("name", "output", "plugins", "hub", "suspects")
    kept = {key: value for key, value in resolved.items() if key not in aside}
    train = {key: value for key, value in kept["train"].items() if key not in HOW_NOT_WHAT}
    return hashlib.sha256(json.dumps(kept | {"train": train}, sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
