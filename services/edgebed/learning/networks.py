"""Perceptrons as views of one flat vector, their two passes written out, and Adam on the whole vector at once.

Rows of a batch are agents of one network, and most of an observation is the same at every slot (`Transitions.static`).
So the first layer is `fold(static)[agent] + dynamic @ weight`: the static part becomes one bias per agent, computed
once per update. At N = 20 that leaves 23 of 65 inputs.

All passes write into buffers that the caller keeps; nothing is allocated per row.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]

Layers = tuple[Layer, Layer, Layer]
"""(weight (inputs, outputs), bias (outputs,)) of each layer, as numpy arrays: how networks travel."""


class DeviceError(RuntimeError):
    """A device was asked for that this machine or this torch does not have."""


def device_named(name: str) -> torch.device:
    """`cpu` or `cuda`, as the user asked; never another than that."""
    if name not in ("cpu", "cuda"):
        raise DeviceError(f"device: {name!r} is not known; give cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "device: 'cuda' was asked for, but torch finds no GPU here; give cpu, or install torch for CUDA"
        )
    return torch.device(name)


@dataclass(frozen=True)
class Sizes:
    """Of one perceptron with two hidden layers."""

    static: int
    dynamic: int
    hidden: int
    outputs: int

    @property
    def count(self) -> int:
        """Number of parameters."""
        inputs = self.static + self.dynamic
        return (inputs + 1) * self.hidden + (self.hidden + 1) * self.hidden + (self.hidden + 1) * self.outputs


class Perceptron:
    """ReLU(ReLU(x W0 + b0) W1 + b1) W2 + b2, whose matrices are views of a flat vector. Gradients have the same form."""

    def __init__(self, flat: Tensor, sizes: Sizes) -> None:
        self.flat, self.sizes = flat, sizes
        h, inputs = sizes.hidden, sizes.static + sizes.dynamic
        parts = torch.split(flat, [inputs * h, h, h * h, h, h * sizes.outputs, sizes.outputs])
        self.weight0, self.bias0 = parts[0].view(inputs, h), parts[1]
        self.weight1, self.bias1 = parts[2].view(h, h), parts[3]
        self.weight2, self.bias2 = parts[4].view(h, sizes.outputs), parts[5]
        self.static_weight, self.dynamic_weight = self.weight0[: sizes.static], self.weight0[sizes.static :]
        self._pairs = ((self.weight0, self.bias0), (self.weight1, self.bias1), (self.weight2, self.bias2))

    def draw(self, rng: np.random.Generator) -> None:
        """Initial parameters: uniform within 1 / sqrt(inputs) of 0, which is also torch's choice for a linear layer."""
        for weight, bias in self._pairs:
            bound = weight.shape[0] ** -0.5
            for tensor in (weight, bias):
                tensor.copy_(torch.from_numpy(rng.uniform(-bound, bound, tuple(tensor.shape)).astype(np.float32)))

    @property
    def layers(self) -> Layers:
        """A copy of the parameters."""
        first, second, third = ((w.cpu().numpy().copy(), b.cpu().numpy().copy()) for w, b in self._pairs)
        return first, second, third

    @layers.setter
    def layers(self, layers: Layers) -> None:
        for mine, given in zip(self._pairs, layers, strict=True):
            for tensor, array in zip(mine, given, strict=True):
                if tuple(tensor.shape) != array.shape:
                    raise ValueError(
                        f"layers: shape {array.shape} where {tuple(tensor.shape)} belongs; same observation?"
                    )
                tensor.copy_(torch.from_numpy(np.array(array, dtype=np.float32)))

    def fold(self, static: Tensor) -> Tensor:
        """(N, H) the first layer's bias of every agent; `static` has shape (N, S)."""
        return torch.addmm(self.bias0, static, self.static_weight)

    def forward(self, folded: Tensor, dynamic: Tensor, agent: Tensor, h1: Tensor, h2: Tensor) -> None:
        """Both hidden layers of rows (agent, dynamic) into `h1` and `h2`, each (rows, H)."""
        torch.index_select(folded, 0, agent, out=h1)
        h1.addmm_(dynamic, self.dynamic_weight).relu_()
        torch.addmm(self.bias1, h1, self.weight1, out=h2).relu_()

    def backward(
        self,
        gradient: "Perceptron",
        static: Tensor,
        dynamic: Tensor,
        agent: Tensor,
        h1: Tensor,
        h2: Tensor,
        d1: Tensor,
        d2: Tensor,
    ) -> None:
        """Gradients of all but the last layer into `gradient`, from `d2` (rows, H), the loss's by the second hidden layer.

        `d1` is space of the same shape; both are overwritten.
        """
        relu_backward(d2, h2)
        torch.mm(h1.t(), d2, out=gradient.weight1)
        torch.sum(d2, 0, out=gradient.bias1)
        torch.mm(d2, self.weight1.t(), out=d1)
        relu_backward(d1, h1)
        torch.mm(dynamic.t(), d1, out=gradient.dynamic_weight)
        # The sum over each agent's rows is all that the static part and the bias need.
        per_agent = torch.zeros((static.shape[0], d1.shape[1]), device=d1.device).index_add_(0, agent, d1)
        torch.mm(static.t(), per_agent, out=gradient.static_weight)
        torch.sum(per_agent, 0, out=gradient.bias0)


def relu_backward(gradient: Tensor, activation: Tensor) -> None:
    """Sets `gradient` to 0 where a ReLU's output was 0, in place."""
    torch.ops.aten.threshold_backward.grad_input(gradient, activation, 0, grad_input=gradient)


class Adam:
    """Kingma and Ba 2015, on one flat vector; the same steps as `torch.optim.Adam`."""

    def __init__(self, parameters: Tensor, learning_rate: float, epsilon: float = 1e-8) -> None:
        self.parameters, self.learning_rate, self.epsilon = parameters, learning_rate, epsilon
        self.mean, self.square = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self._step = torch.empty_like(parameters)
        self.steps = 0

    def step(self, gradient: Tensor) -> None:
        """One step against `gradient`."""
        self.steps += 1
        self.mean.lerp_(gradient, 1 - 0.9)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
        torch.add(self.square, 1e-24, out=self._step)  # far below epsilon squared; roots of tiny numbers are slow
        self._step.sqrt_().div_((1 - 0.999**self.steps) ** 0.5).add_(self.epsilon)
        self.parameters.addcdiv_(self.mean, self._step, value=-self.learning_rate / (1 - 0.9**self.steps))
