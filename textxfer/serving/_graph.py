"""From a model in torch to a file for ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Rounding:
    """Which weights become 8-bit integers.

    Attributes:
        embeddings: Whether those of the embeddings do; one scale serves the whole table, so they lose the most.
        narrowing: Whether those of products that give fewer numbers than they take do: the second half of a
            feed-forward layer, whose inputs have outliers, and the head.
        what: Says what stays fp32; "" where nothing does.
    """

    embeddings: bool
    narrowing: bool
    what: str


ROUNDINGS = (
    Rounding(True, True, ""),
    Rounding(False, True, "the embeddings"),
    Rounding(True, False, "the head and the narrowing half of each feed-forward layer"),
    Rounding(False, False, "the embeddings, the head and the narrowing half of each feed-forward layer"),
)
"""From the smallest graph to the most faithful."""


def quantise_graph(source: Path, target: Path, rounding: Rounding) -> None:
    """Writes a graph again with 8-bit integers as weights of its matrix products, a scale for each column.

    What goes through the products is rounded to 8 bits too, when the model runs.

    Args:
        source: The graph in fp32.
        target: Where to.
        rounding: Which of them.
    """
    with _quiet():
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        model = onnx.load(str(source))
        # The shapes that the exporter noted are those of before; ONNX Runtime finds them anew.
        del model.graph.value_info[:]
        beside = source.with_name(f"{source.name}.data").exists()
        kept = [] if rounding.narrowing else _narrowing(model)
        bare = target.with_name("bare.onnx")
        onnx.save(model, str(bare), save_as_external_data=beside, location=f"{bare.name}.data")
        for old in target.parent.glob(f"{target.name}*"):
            old.unlink()
        quantize_dynamic(
            str(bare),
            str(target),
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=None if rounding.embeddings else ["MatMul", "Gemm"],
            nodes_to_exclude=kept,
            use_external_data_format=beside,
        )
        for old in bare.parent.glob(f"{bare.name}*"):
            old.unlink()


def _narrowing(model: Any) -> list[str]:
    """Gives the names of the matrix products with more inputs than outputs."""
    shapes = {weight.name: list(weight.dims) for weight in model.graph.initializer}
    found = []
    for node in model.graph.node:
        shape = shapes.get(node.input[1], ()) if node.op_type in ("MatMul", "Gemm") else ()
        turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        if len(shape) == 2 and (shape[1] > shape[0] if turned else shape[0] > shape[1]):
            found += [node.name, f"{node.name}_MatMul"]  # which ONNX Runtime makes of a Gemm
    return found


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
