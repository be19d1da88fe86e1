"""ONNX files made here beside ONNX Runtime: activations written in every way that is met."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from pocketvision.errors import WeightsError
from pocketvision.spec import InvertedResidual, Pooling, Separable
from pocketvision.weights import read_onnx
from pocketvision.weights.found import Wishes

RNG = np.random.default_rng(0)


class Maker:
    """Nodes and constants collected, then a model."""

    def __init__(self):
        self.nodes, self.constants, self.n = [], [], 0

    def constant(self, values):
        self.n += 1
        name = f"c{self.n}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def add(self, kind, *inputs, **attributes):
        self.n += 1
        self.nodes.append(helper.make_node(kind, list(inputs), [f"t{self.n}"], **attributes))
        return f"t{self.n}"

    def conv(self, x, c_in, c_out, k=1, stride=(1, 1), groups=1, bias=True, norm=False):
        shape = (c_out, c_in // groups, k, k)
        w = self.constant(RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:])))
        extra = [self.constant(RNG.standard_normal(c_out))] if bias else []
        p = k // 2
        y = self.add("Conv", x, w, *extra, kernel_shape=[k, k], strides=list(stride), group=groups,
                     pads=[p, p, p, p])  # fmt: skip
        if norm:
            rows = [RNG.uniform(0.5, 1.5, c_out), RNG.normal(size=c_out), RNG.normal(size=c_out),
                    RNG.uniform(0.5, 1.5, c_out)]  # fmt: skip
            y = self.add("BatchNormalization", y, *map(self.constant, rows), epsilon=2e-5)
        return y

    def model(self, y, shape, opset=17):
        graph = helper.make_graph(
            self.nodes, "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)], self.constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        return model


def swish(m, x, way):
    if way == "operator":
        return m.add("HardSwish", x)
    if way == "sigmoid":
        return m.add("Mul", x, m.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))
    shifted = m.add("Add", x, m.constant(3))
    cut = m.add("Clip", shifted, m.constant(0), m.constant(6))
    if way == "div":
        return m.add("Div", m.add("Mul", x, cut), m.constant(6))
    return m.add("Mul", x, m.add("Mul", cut, m.constant(1 / 6)))


def network(way="div", slope=0.2, ending="gemm"):
    m = Maker()
    x = swish(m, m.conv("x", 3, 8, 3, (2, 2), bias=False, norm=True), way)
    y = m.add("Relu", m.conv(x, 8, 8, 3, (2, 1), groups=8, norm=True))
    squeezed = m.add("Relu", m.conv(m.add("GlobalAveragePool", y), 8, 4))
    gate = m.add("HardSigmoid", m.conv(squeezed, 4, 8), alpha=slope, beta=0.5)
    x = m.conv(m.add("Mul", y, gate), 8, 12, norm=True)
    y = swish(m, m.conv(x, 12, 24, norm=True), way)
    y = swish(m, m.conv(y, 24, 24, 5, groups=24, norm=True), way)
    x = m.add("Add", x, m.conv(y, 24, 12, norm=True))
    x = m.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = m.add("Flatten", m.add("GlobalAveragePool", x))
    if ending == "gemm":
        x = m.add("Gemm", x, m.constant(RNG.normal(size=(5, 12))), m.constant(RNG.normal(size=5)),
                  transB=1)  # fmt: skip
    else:
        x = m.add("MatMul", x, m.constant(RNG.normal(size=(12, 5))))
        x = m.add("Add", x, m.constant(RNG.normal(size=5)))
    return m.model(m.add("Softmax", x, axis=1), ["n", 3, 32, 64])


@pytest.mark.parametrize("way", ["div", "mul", "sigmoid", "operator"])
@pytest.mark.parametrize(("slope", "ending"), [(0.2, "gemm"), (1 / 6, "matmul")])
def test_equals_onnx_runtime(way, slope, ending):
    model = network(way, slope, ending)
    data = model.SerializeToString()
    made = read_onnx.read(data, Wishes())
    spec = made.bundle.spec
    assert [type(b) for b in spec.blocks] == [Separable, InvertedResidual, Pooling]
    assert spec.resolution == (32, 64)
    assert spec.blocks[0].depthwise.strides == (2, 1)
    assert spec.blocks[0].gate.gate == "hard_sigmoid"
    assert spec.blocks[1].depthwise.act == "hard_swish"
    assert (spec.numerics.padding, spec.numerics.bn_epsilon) == ("symmetric", 2e-5)
    assert ("gates" in made.found.facts) is (slope == 0.2)
    x = RNG.standard_normal((3, 3, 32, 64)).astype(np.float32)
    run = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        y = made.bundle.network()(torch.from_numpy(x)).softmax(1).numpy()
    assert np.abs(run.run(None, {"x": x})[0] - y).max() < 1e-5


def test_tensors_in_other_files_are_not_read(tmp_path):
    model = network()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    with pytest.raises(WeightsError, match="lies in another file"):
        read_onnx.read(model.SerializeToString(), Wishes())


def test_a_shape_that_the_bytes_do_not_hold():
    model = network()
    model.graph.initializer[0].dims[0] = 1 << 40
    with pytest.raises(WeightsError, match=r"holds \d+ bytes"):
        read_onnx.read(model.SerializeToString(), Wishes())


def test_what_starts_otherwise_is_named():
    m = Maker()
    model = m.model(m.add("LSTM", "x", m.constant(np.zeros(3))), [1, 3, 8, 8])
    with pytest.raises(WeightsError, match=r"the image goes into operator 0 \(LSTM\)"):
        read_onnx.read(model.SerializeToString(), Wishes())
    assert onnx.__version__
