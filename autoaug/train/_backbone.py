"""The backbone of a network, all but its head: frozen for some epochs, and with a learning rate of its own."""

from typing import Any

from torch import nn

from autoaug.models import head_of, names_of

Groups = list[dict[str, Any]]
"""Groups of parameters, as every optimiser of torch takes them."""


class Freezer:
    """Freeze the backbone of a network and free it again, which leaves alone what never trained.

    A frozen backbone gets no gradients, so that no optimiser moves it and neither decay nor momentum reaches it, and
    runs as in evaluation: its running statistics stay, and it draws no dropout.

    Args:
        used: whether it will ever be frozen; if not, the head need not be known.

    Raises:
        ValueError: it will, and the head is not known (`autoaug.models.head_of`).
    """

    def __init__(self, network: nn.Module, used: bool) -> None:
        self.network, self.head = network, head_of(network) if used else ""
        head = names_of(network, "head") if used else frozenset()
        self.backbone = [
            parameter
            for name, parameter in network.named_parameters()
            if used and parameter.requires_grad and name not in head
        ]

    def to_training(self, frozen: bool) -> None:
        """Put the network into training mode; where its backbone is frozen, the head alone."""
        self.network.train(not frozen)
        for parameter in self.backbone:
            parameter.requires_grad_(not frozen)
        if frozen:
            self.network.get_submodule(self.head).train()


def with_backbone_rate(groups: Groups, network: nn.Module, scale: float) -> Groups:
    """Return groups of parameters in which those of the backbone have `scale` times their "lr_scale".

    A group that holds parameters of both is divided, the backbone's first; with the scale 1 all stay as they are.

    Raises:
        ValueError: the scale is not 1, and the head is not known (`autoaug.models.head_of`).
    """
    if scale == 1:
        return groups
    head = {id(parameter) for parameter in network.get_submodule(head_of(network)).parameters()}
    divided: Groups = []
    for group in groups:
        usual = group.get("lr_scale", 1.0)
        parts = {
            scale * usual: [each for each in group["params"] if id(each) not in head],
            usual: [each for each in group["params"] if id(each) in head],
        }
        divided += [{**group, "params": params, "lr_scale": rate} for rate, params in parts.items() if params]
    return divided
