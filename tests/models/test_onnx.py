"""ONNX files: run as they are, quantised ones too, or refused in one line."""

import math
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from trainables.base.errors import InvalidInput
from trainables.models.onnx import OnnxNetwork

SHAPE, CLASSES = (1, 4, 4), 3


def written(
    folder: Path,
    *,
    batch: int | str = "b",
    shape: tuple = SHAPE,
    dtype: int = TensorProto.FLOAT,
    quantised: bool = False,
    weights: np.ndarray | None = None,
) -> tuple[Path, np.ndarray]:
    """One linear layer with weights (inputs, classes) [random], and these weights."""
    if weights is None:
        weights = np.random.default_rng(0).normal(size=(math.prod(shape), CLASSES))
    weights = weights.astype(np.float32)
    nodes = [helper.make_node("Flatten", ["images"], ["flat"])]
    initialisers = [numpy_helper.from_array(weights, "w")]
    if quantised:
        scale = np.float32(np.abs(weights).max() / 127)
        codes = np.round(weights / scale).astype(np.int8)
        initialisers = [
            numpy_helper.from_array(codes, "codes"),
            numpy_helper.from_array(np.array(scale), "scale"),
            numpy_helper.from_array(np.array(0, dtype=np.int8), "zero"),
        ]
        nodes.append(helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["w"]))
        weights = codes * scale
    elif dtype == TensorProto.FLOAT16:
        initialisers = [numpy_helper.from_array(weights.astype(np.float16), "w")]
    nodes.append(helper.make_node("MatMul", ["flat", "w"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images", dtype, [batch, *shape])],
        [helper.make_tensor_value_info("logits", dtype, [batch, weights.shape[1]])],
        initialisers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx", weights


@pytest.mark.parametrize(
    "how",
    [{}, {"batch": 1}, {"batch": 4}, {"quantised": True}, {"dtype": TensorProto.FLOAT16}],
    ids=["any batch", "one by one", "fours", "int8", "float16"],
)
def test_the_outputs_are_those_of_the_file(tmp_path: Path, how) -> None:
    path, weights = written(tmp_path, **how)
    images = torch.randn(7, *SHAPE).contiguous(memory_format=torch.channels_last)
    found = OnnxNetwork(path, CLASSES, SHAPE)(images)
    wanted = images.flatten(1).numpy() @ weights
    assert found.dtype == torch.float32
    # onnxruntime may round the activations to int8 as well
    within = 0.1 if "quantised" in how else 0.02 if "dtype" in how else 1e-5
    assert found.numpy() == pytest.approx(wanted, abs=within)


@pytest.mark.parametrize(
    ("how", "classes", "says"),
    [
        ({"shape": (3, 4, 4)}, CLASSES, "takes images of 3 x 4 x 4, the data set has 1 x 4 x 4"),
        ({"shape": (4, 4)}, CLASSES, "takes images of 4 x 4"),
        ({"dtype": TensorProto.INT32}, CLASSES, "of floating-point numbers"),
        ({}, 10, "answers with (2, 3) for 2 images, the data set has 10 classes"),
    ],
)
def test_another_network_is_refused_in_one_line(tmp_path: Path, how, classes, says) -> None:
    if how.get("dtype") == TensorProto.INT32:
        graph = helper.make_graph(
            [helper.make_node("Identity", ["images"], ["logits"])],
            "identity",
            [helper.make_tensor_value_info("images", TensorProto.INT32, ["b", *SHAPE])],
            [helper.make_tensor_value_info("logits", TensorProto.INT32, ["b", *SHAPE])],
        )
        opset = [helper.make_opsetid("", 17)]
        path = tmp_path / "net.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    else:
        path, _ = written(tmp_path, **how)
    with pytest.raises(InvalidInput) as refused:
        OnnxNetwork(path, classes, SHAPE)(torch.zeros(2, *SHAPE))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_network_and_a_missing_runtime_are_one_line(
    tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(InvalidInput, match=r"bad\.onnx cannot be run by onnxruntime"):
        OnnxNetwork(tmp_path / "bad.onnx", CLASSES, SHAPE)
    with pytest.raises(InvalidInput, match="cannot be read: it is no file"):
        OnnxNetwork(tmp_path / "none.onnx", CLASSES, SHAPE)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InvalidInput, match="needs onnxruntime: pip install"):
        OnnxNetwork(tmp_path / "bad.onnx", CLASSES, SHAPE)
