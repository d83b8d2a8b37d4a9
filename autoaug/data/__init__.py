"""Whole datasets as tensors, split three ways. The home of torchvision.datasets and of scikit-learn's digits.

`load_data` takes a name of `DATASETS`, the path of a folder of images, of a table of them or of an .npz file, or a
user's function. Everything is checked before anything is trained; an error is a `DataError` that says what to do.
"""

from typing import TYPE_CHECKING

from autoaug.lazy import lazily

if TYPE_CHECKING:
    from autoaug.data._boxes import draw_boxes
    from autoaug.data._cache_folder import CacheEntry, cache_entries, cache_folder, clear_cache
    from autoaug.data._crops import heights_and_widths, resized_crop
    from autoaug.data._decoding import PROGRESS
    from autoaug.data._derived import anchored, is_named, resized, subset
    from autoaug.data._distributed import bach, tiny_imagenet
    from autoaug.data._duplicates import Copies, copies, is_too_much
    from autoaug.data._files import image_folder, npz
    from autoaug.data._load import DATASETS, Data, data_name, load_data, resplit, train_on_val
    from autoaug.data._naming import public_name
    from autoaug.data._photos import Photos
    from autoaug.data._pictures import read_images, sample_images
    from autoaug.data._source import Source
    from autoaug.data._specs import described_data
    from autoaug.data._splits import DataError, Split, as_float
    from autoaug.data._standard import STANDARDS, Standard, standard_named
    from autoaug.data._table import image_table
    from autoaug.data._taught import corrupted, long_tailed, reduced
    from autoaug.data._tensors import tensors
    from autoaug.data._torch_datasets import from_datasets
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_boxes": "draw_boxes",
            "_crops": "heights_and_widths resized_crop",
            "_cache_folder": "CacheEntry cache_entries cache_folder clear_cache",
            "_decoding": "PROGRESS",
            "_derived": "anchored is_named resized subset",
            "_distributed": "bach tiny_imagenet",
            "_duplicates": "Copies copies is_too_much",
            "_files": "image_folder npz",
            "_load": "DATASETS Data data_name load_data resplit train_on_val",
            "_naming": "public_name",
            "_photos": "Photos",
            "_pictures": "read_images sample_images",
            "_source": "Source",
            "_specs": "described_data",
            "_splits": "DataError Split as_float",
            "_standard": "STANDARDS Standard standard_named",
            "_table": "image_table",
            "_taught": "corrupted long_tailed reduced",
            "_tensors": "tensors",
            "_torch_datasets": "from_datasets",
        },
    )

__all__ = [
    "DATASETS",
    "PROGRESS",
    "STANDARDS",
    "CacheEntry",
    "Copies",
    "Data",
    "DataError",
    "Photos",
    "Source",
    "Split",
    "Standard",
    "anchored",
    "as_float",
    "bach",
    "cache_entries",
    "cache_folder",
    "clear_cache",
    "copies",
    "corrupted",
    "data_name",
    "described_data",
    "draw_boxes",
    "from_datasets",
    "heights_and_widths",
    "image_folder",
    "image_table",
    "is_named",
    "is_too_much",
    "load_data",
    "long_tailed",
    "npz",
    "public_name",
    "read_images",
    "reduced",
    "resized",
    "resized_crop",
    "resplit",
    "sample_images",
    "standard_named",
    "subset",
    "tensors",
    "tiny_imagenet",
    "train_on_val",
]
