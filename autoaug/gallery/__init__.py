"""Galleries: what the policies of a study make of some of the images that they were trained on, to be looked at."""

from typing import TYPE_CHECKING

from autoaug.gallery._gallery import PICTURE, Cell, Doubt, Gallery, Images, Sheet, Sheets, name_of, sheets_of
from autoaug.lazy import lazily

if TYPE_CHECKING:
    from autoaug.gallery._captions import NOTHING, caption
    from autoaug.gallery._drawing import Logits, draw_sheets
    from autoaug.gallery._limits import MOST_STRATEGIES, Allowance, allowance
    from autoaug.gallery._pictures import picture
else:  # a gallery that was made is read without torch
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_captions": "NOTHING caption",
            "_drawing": "Logits draw_sheets",
            "_limits": "MOST_STRATEGIES Allowance allowance",
            "_pictures": "picture",
        },
    )

__all__ = [
    "MOST_STRATEGIES",
    "NOTHING",
    "PICTURE",
    "Allowance",
    "Cell",
    "Doubt",
    "Gallery",
    "Images",
    "Logits",
    "Sheet",
    "Sheets",
    "allowance",
    "caption",
    "draw_sheets",
    "name_of",
    "picture",
    "sheets_of",
]
