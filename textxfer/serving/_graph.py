"""From a model in torch to a file for ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.modeling.quiet import quiet_transformers

if TYPE_CHECKING:
    import torch

MOST_BYTES = 1_900_000_000
"""Of weights in the graph's own file; protobuf holds 2 GB, and what is larger gets a file beside it."""


def write_graph(model: Any, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str], path: Path) -> None:
    """Writes a model as an ONNX graph for batches of any number of examples and any length.

    Args:
        model: A module with a stock configuration, in eval mode, on the CPU.
        inputs: An example of its inputs (B, T), padded; neither B nor T is 1, and they differ.
        outputs: Names of what the graph gives; whatever else the model gives (T5: its encoder's states, its cache) is
            left out.
        path: Of the graph.

    Raises:
        Exception: Whatever the exporter raises where it does not know the model.
    """
    with _quiet():
        import onnx_ir
        from onnx_ir.passes.common import RemoveUnusedNodesPass
        from transformers.exporters import OnnxConfig, OnnxExporter

        exported: Any = OnnxExporter().export(model, dict(inputs), config=OnnxConfig(dynamic=True))
        program = exported.program
        given = {value.name: value for value in program.graph.outputs}
        program.graph.outputs[:] = [given[name] for name in outputs]
        RemoveUnusedNodesPass()(program)
        size = sum(value.const_value.nbytes for value in program.graph.initializers.values())
        beside = f"{path.name}.data" if size > MOST_BYTES else None
        onnx_ir.save(program, str(path), external_data=beside)


def quantise_graph(path: Path) -> None:
    """Turns the weights of a graph's matrix products into 8-bit integers, in place.

    What goes through the products is turned into 8-bit integers too, when the model runs.
    """
    with _quiet():
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        model = onnx.load(str(path))
        # The shapes that the exporter noted are those of before; ONNX Runtime finds them anew.
        del model.graph.value_info[:]
        beside = path.with_name(f"{path.name}.data").exists()
        whole = path.with_name("whole.onnx")
        onnx.save(model, str(whole), save_as_external_data=beside, location=f"{whole.name}.data")
        for old in path.parent.glob(f"{path.name}*"):
            old.unlink()
        quantize_dynamic(
            str(whole), str(path), weight_type=QuantType.QInt8, per_channel=True, use_external_data_format=beside
        )
        for old in path.parent.glob(f"{whole.name}*"):
            old.unlink()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the exporter and the quantiser print, warn and log to itself."""
    level = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        redirect_stdout(StringIO()),
        redirect_stderr(StringIO()),
        quiet_transformers(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
