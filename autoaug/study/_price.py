"""What a second of work counts in the budget of a study: by the share of a GPU, and by the kind of GPU."""

from autoaug.devices import device_name
from autoaug.study._definition import Study
from autoaug.train import pick_device


def gpu_weight(study: Study) -> tuple[float | None, str]:
    """Return what the budget of a study counts a second of this machine's GPU as, and what is to be warned of.

    None where it does not weigh kinds of GPU, or nothing is trained on one; 1 where it weighs others only.
    """
    device, budget = pick_device(study.task.device), study.budget
    if device.type != "cuda" or not budget.gpu_weights:
        return None, ""
    name = device_name(device)
    weight = budget.weight_of(name)
    if weight is None:
        return 1.0, f"Budget.gpu_weights names no kind of {name}: its seconds count once"
    return weight, ""


def price(study: Study, share: float, device_type: str) -> float:
    """Return the seconds of a budget that a second of work costs; CPU-seconds count once.

    Args:
        share: of a GPU, that the work has.
        device_type: "cuda" or "cpu": where the work was done.
    """
    if device_type != "cuda":
        return 1.0
    weight, _ = gpu_weight(study)
    return share * (1.0 if weight is None else weight)
