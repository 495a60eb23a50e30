"""Data sets on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        try:
            with _quiet():
                return datasets.load_dataset(self.hub, self.config, revision=self.revision)
        except DatasetNotFoundError as error:
            raise DataError(
                f"{self.hub}: {str(error).splitlines()[0]} Check `dataset.hub` and `dataset.revision`, log in if it is "
                "private (`hf auth login`), or download the files and name their folder in `dataset.path`."
            ) from error
        except (ConnectionError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
            raise DataError(
                f"{self.hub}: the Hub cannot be reached ({type(error).__name__}). Offline, name downloaded files in "
                "`dataset.path`, or run once online so that the Hub's cache holds them."
            ) from error
        except (ValueError, RuntimeError) as error:
            raise DataError(f"{self.hub}: {str(error).splitlines()[0]}") from error


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
