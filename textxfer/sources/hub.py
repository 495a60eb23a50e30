"""Data sets on the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textxfer import registry
from textxfer.errors import DataError
from textxfer.records import Split, Splits

ALIASES = {"train": ("train",), "validation": ("validation", "valid", "dev", "val"), "test": ("test",)}


class Hub:
    """A data set on the Hub.

    Args:
        hub: Its id, as in "stanfordnlp/sst2".
        config: Its configuration, where it has several.
        revision: Branch, tag or commit.
        train, validation, test: Names of its splits. Default: the usual names.
    """

    def __init__(
        self,
        hub: str,
        config: str | None = None,
        revision: str | None = None,
        train: str | None = None,
        validation: str | None = None,
        test: str | None = None,
    ) -> None:
        self.hub, self.config, self.revision = hub, config, revision
        self.chosen = {"train": train, "validation": validation, "test": test}

    def load(self) -> Splits:
        """Downloads the data set (once; the Hub's cache keeps it) and gives its splits.

        Raises:
            DataError: It is not there, the Hub cannot be reached, or a split is missing.
        """
        found = self._download()
        given = {name for name in self.chosen.values() if name}
        splits = {}
        for name, wanted in self.chosen.items():
            if wanted is not None and wanted not in found:
                raise DataError(f"dataset.{name}: {self.hub} has {registry.unknown(wanted, found, 'split')}")
            # A split that the recipe gives another part is not also taken by its usual name.
            usual = [alias for alias in ALIASES[name] if alias in found and alias not in given]
            chosen = wanted or next(iter(usual), None)
            if chosen is not None:
                splits[name] = Split(found[chosen], f"{self.hub}[{chosen}]")
        if "train" not in splits:
            raise DataError(f"{self.hub}: has no split `train` (there are: {', '.join(found)}); say `dataset.train`")
        return Splits(**splits)

    def _download(self) -> Any:
        import datasets
        from datasets.exceptions import DatasetNotFoundError

        if os.path.exists(self.hub):
            raise DataError(f"dataset.hub: {self.hub} is a file or folder here; name it in `dataset.path`")
        try:
            with _quiet():
                found = datasets.load_dataset(self.hub, self.config, revision=self.revision)
        except DatasetNotFoundError as error:
            raise DataError(
                f"{self.hub}: {_first_line(error)} Check `dataset.hub` and `dataset.revision`, log in if it is "
                "private (`hf auth login`), or download the files and name their folder in `dataset.path`."
            ) from error
        except Exception as error:  # whatever the line, the Hub, and a stranger's files can raise
            problem = trouble(error)
            if problem is None:
                raise DataError(f"{self.hub}: cannot be loaded: {_first_line(error)}") from error
            if getattr(getattr(problem, "response", None), "status_code", None) == 401:
                message = "the Hub does not know the token in HF_TOKEN (or of the last login); `hf auth login`"
                raise DataError(f"{self.hub}: {message}") from error
            raise DataError(
                f"{self.hub}: the Hub cannot be reached ({_first_line(problem)}). Offline, name downloaded files in "
                "`dataset.path`, or run once online so that the Hub's cache holds them."
            ) from error
        self._check_revision(found)
        return found

    def _check_revision(self, found: Any) -> None:
        """Stops where the Hub could not be asked and `datasets` took the newest revision that it had instead."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        revision = self.revision or "main"
        wanted: str | None = revision
        if not re.fullmatch("[0-9a-f]{40}", revision):
            folder = repo_folder_name(repo_id=self.hub, repo_type="dataset")
            known = Path(constants.HF_HUB_CACHE, folder, "refs", revision)
            wanted = known.read_text().strip() if known.is_file() else None
        # Prepared rows lie in a folder that bears the name of their commit.
        files = [Path(file["filename"]) for split in found.values() for file in split.cache_files]
        commits = {file.parent.name for file in files}
        if commits - {wanted} and (wanted is not None or self.revision is not None):
            raise DataError(
                f"{self.hub}: the Hub cannot be reached, and the newest rows of it in the cache are not those of "
                f"revision {revision!r}. Try again online, or name downloaded files in `dataset.path`."
            )


def trouble(error: BaseException | None) -> BaseException | None:
    """Gives what went wrong with the Hub or on the way to it, behind an error that may say something else, or None."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    found = None
    while error is not None:
        if isinstance(error, HfHubHTTPError):  # "not found" is an answer like any other
            return found if error.response.status_code == 404 else error
        network = type(error).__module__.startswith("httpx")  # the network library that huggingface_hub uses now
        if network or isinstance(error, (ConnectionError, OfflineModeIsEnabled)):
            found = error
        error = error.__cause__ or error.__context__
    return found


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps `datasets` from drawing its own progress bars."""
    import datasets

    was_on = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if was_on:
            datasets.enable_progress_bars()
