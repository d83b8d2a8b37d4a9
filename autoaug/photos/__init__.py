"""Photos of different sizes: how their files are decoded, where their pixels are kept, and how they are cropped.

A dataset gives its images as `Encoded`, not decoded yet. `brought_in` decodes them as a task wants it (`Wanted`) and
keeps them in memory, in a cache on disk that all trials of a machine share, or not at all. What is trained on is
`Photos`, as a dataset and as a minibatch; `resized_crop` cuts boxes out of them. Processes that decode import no torch.
"""

from typing import TYPE_CHECKING

from autoaug.lazy import lazily

if TYPE_CHECKING:
    from autoaug.photos._boxes import draw_boxes
    from autoaug.photos._cache_folder import (
        CacheEntry,
        NoRoom,
        cache_entries,
        cache_folder,
        clear_cache,
        make_room,
        tables_folder,
    )
    from autoaug.photos._choice import Hold, Wanted, brought_in
    from autoaug.photos._crops import heights_and_widths, resized_crop
    from autoaug.photos._decoding import PROGRESS, Found, refuse_unreadable
    from autoaug.photos._encoded import Encoded, ImageFiles, Together
    from autoaug.photos._errors import DataError
    from autoaug.photos._modes import as_rgb, eight_bits, may_be_transparent
    from autoaug.photos._photos import Flat, Photos, as_float
    from autoaug.photos._pixels import Frame, Taken, Unreadable, take
    from autoaug.photos._streaming import Streamed
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_boxes": "draw_boxes",
            "_cache_folder": "CacheEntry NoRoom cache_entries cache_folder clear_cache make_room tables_folder",
            "_choice": "Hold Wanted brought_in",
            "_crops": "heights_and_widths resized_crop",
            "_decoding": "PROGRESS Found refuse_unreadable",
            "_encoded": "Encoded ImageFiles Together",
            "_errors": "DataError",
            "_modes": "as_rgb eight_bits may_be_transparent",
            "_photos": "Flat Photos as_float",
            "_pixels": "Frame Taken Unreadable take",
            "_streaming": "Streamed",
        },
    )

__all__ = [
    "PROGRESS",
    "CacheEntry",
    "DataError",
    "Encoded",
    "Flat",
    "Found",
    "Frame",
    "Hold",
    "ImageFiles",
    "NoRoom",
    "Photos",
    "Streamed",
    "Taken",
    "Together",
    "Unreadable",
    "Wanted",
    "as_float",
    "as_rgb",
    "brought_in",
    "cache_entries",
    "cache_folder",
    "clear_cache",
    "draw_boxes",
    "eight_bits",
    "heights_and_widths",
    "make_room",
    "may_be_transparent",
    "refuse_unreadable",
    "resized_crop",
    "tables_folder",
    "take",
]
