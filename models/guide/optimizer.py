"""Muon for the matrices of the layers (momentum made orthogonal), AdamW for all else."""

import torch


def orthogonal(batch, steps=5):
    """Nearly the nearest orthogonal matrix to each of a batch, by Newton-Schulz iterations."""
    x = batch.bfloat16()
    flat = x.size(-2) > x.size(-1)
    x = x.mT if flat else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        y = x @ x.mT
        x = 3.4445 * x + (-4.7750 * y + 2.0315 * y @ y) @ x
    return (x.mT if flat else x).to(batch.dtype)


class Muon:
    """Matrices of one size are worked on together, which keeps a GPU busy."""

    def __init__(self, parameters, momentum=0.95, decay=0.05):
        self.momentum, self.decay = momentum, decay
        sizes = {}
        for parameter in parameters:
            sizes.setdefault(tuple(parameter.shape), []).append(parameter)
        self.groups = list(sizes.values())
        self.moments = [torch.zeros(len(group), *group[0].shape, device=group[0].device) for group in self.groups]

    @torch.no_grad()
    def step(self, rate):
        for group, moment in zip(self.groups, self.moments):
            gradient = torch.stack([parameter.grad for parameter in group])
            moment.lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp(moment, self.momentum))
            rows, columns = group[0].shape
            update *= max(1.0, rows / columns) ** 0.5
            for parameter, change in zip(group, update):
                parameter.mul_(1 - rate * self.decay).add_(change, alpha=-rate)
