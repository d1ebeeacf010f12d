"""Muon for the matrices, AdamW for the rest: with Adam alone the autoencoder collapses to a constant picture.

Muon: Keller Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/ (momentum, orthogonalised by five
Newton-Schulz iterations, scaled by sqrt(max(1, rows / columns))).
"""

from collections.abc import Iterable

import torch


class Muon(torch.optim.Optimizer):
    """Every parameter is seen as a matrix of its first dimension by all others."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad.flatten(1)
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(gradient)
                state["momentum"].lerp_(gradient, 1 - group["momentum"])
                update = orthogonalised(gradient.lerp(state["momentum"], group["momentum"]))
                scale = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)


def orthogonalised(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest semi-orthogonal matrix, roughly: singular values end between 0.7 and 1.2."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.T


def optimizers(
    module: torch.nn.Module, *, muon: float, adam: float, plain: tuple[str, ...] = ()
) -> list[torch.optim.Optimizer]:
    """Both, for the parameters of ``module``; names that contain one of ``plain`` go to AdamW whatever their shape."""
    matrices, rest = [], []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) > 1
            (matrices if matrix and not any(part in name for part in plain) else rest).append(parameter)
    return [Muon(matrices, muon), torch.optim.AdamW(rest, adam, betas=(0.9, 0.99), weight_decay=0.0)]
