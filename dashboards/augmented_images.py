"""What a policy made of images as it was learned: rows are draws of two photographs, columns are epochs.

The numbers behind the draws of a row are the same in each column, so what changes along it is the policy (Mounsaveng et
al. 2021, "Learning data augmentation with online bilevel optimization", Figure 3). Of the first final run of the first
strategy on the leaderboard whose policy moved.
"""

import base64
import io

import plotly.graph_objects as go

from autoaug.compare import Comparison
from autoaug.record import Record
from dashboards.style import layout, learner_of, named

SIDE, DRAWS, EPOCHS, QUALITY = 56, 3, 6, 50
"""Pixels of an image's side, draws of each photograph, epochs at most, and how well the picture is kept, of 100."""


def figure(comparison: Comparison) -> go.Figure:
    """Return a sheet of augmented photographs; an empty figure where no policy was learned."""
    runs = learner_of(comparison)
    if not runs:
        return go.Figure()
    run = spaced(runs[min(runs)])
    heads = ["original", *(f"{record.epoch}" for record in run)]
    name = run[0].strategy
    alt = f"Draws of two photographs under the policy of {name} at epochs {', '.join(heads[1:])}, the original first."
    shown = layout(f"How did {named(name, 14)} change photos?", "epoch", "", alt)
    side = {"tickvals": [SIDE * (k + 0.5) for k in range(len(heads))], "ticktext": heads}
    shown.update(xaxis={**side, "showgrid": False}, yaxis={"visible": False}, margin={"l": 20}, height=460)
    return go.Figure(go.Image(source=as_webp(run), hoverinfo="skip"), shown)


def spaced(run: list[Record]) -> list[Record]:
    """Return at most `EPOCHS` epochs of a run, evenly spaced, the first and the last among them."""
    last, most = len(run) - 1, min(EPOCHS, len(run))
    return [run[round(k * last / max(1, most - 1))] for k in range(most)]


def as_webp(run: list[Record]) -> str:
    """Return the sheet as a URL that holds the picture."""
    import torch
    from PIL import Image
    from torch import Generator

    from autoaug.data import sample_images
    from autoaug.policy import Fixed, PolicyTree

    images = sample_images(SIDE).repeat_interleave(DRAWS, 0)
    columns = [images]
    for record in run:
        policy = Fixed(PolicyTree.model_validate(record.policy))
        policy.at(record.epoch)
        columns.append(policy(images, Generator().manual_seed(0)))
    sheet = torch.cat([torch.cat(list(column.clamp(0, 1)), dim=1) for column in columns], dim=2)
    levels = sheet.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
