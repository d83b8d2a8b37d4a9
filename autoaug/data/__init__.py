"""Whole datasets as tensors, split three ways. The home of torchvision.datasets and of scikit-learn's digits.

`load_data` takes a name of `DATASETS`, the path of a folder of images, of a table of them or of an .npz file, or a
user's function. Everything is checked before anything is trained; an error is a `DataError` that says what to do.
"""

from typing import TYPE_CHECKING

from autoaug.lazy import lazily

if TYPE_CHECKING:
    from autoaug.data._derived import anchored, is_named, resized, subset
    from autoaug.data._distributed import bach, tiny_imagenet
    from autoaug.data._duplicates import Copies, copies, is_too_much
    from autoaug.data._feature_files import feature_table
    from autoaug.data._features import tabular
    from autoaug.data._files import image_folder, npz
    from autoaug.data._load import DATASETS, Data, data_name, load_data, resplit, train_on_val
    from autoaug.data._moments import as_float
    from autoaug.data._naming import public_name
    from autoaug.data._pictures import read_images, sample_images
    from autoaug.data._source import Kind, Source
    from autoaug.data._specs import described_data
    from autoaug.data._spectrograms import Spectrogram
    from autoaug.data._speech import speech_commands, spoken_digits
    from autoaug.data._splits import DataError, Split
    from autoaug.data._standard import STANDARDS, Standard, standard_named
    from autoaug.data._table import image_table
    from autoaug.data._taught import corrupted, long_tailed, reduced, whole_of
    from autoaug.data._tensors import tensors
    from autoaug.data._torch_datasets import from_datasets
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_derived": "anchored is_named resized subset",
            "_distributed": "bach tiny_imagenet",
            "_duplicates": "Copies copies is_too_much",
            "_feature_files": "feature_table",
            "_features": "tabular",
            "_files": "image_folder npz",
            "_load": "DATASETS Data data_name load_data resplit train_on_val",
            "_moments": "as_float",
            "_naming": "public_name",
            "_pictures": "read_images sample_images",
            "_source": "Kind Source",
            "_specs": "described_data",
            "_spectrograms": "Spectrogram",
            "_speech": "speech_commands spoken_digits",
            "_splits": "DataError Split",
            "_standard": "STANDARDS Standard standard_named",
            "_table": "image_table",
            "_taught": "corrupted long_tailed reduced whole_of",
            "_tensors": "tensors",
            "_torch_datasets": "from_datasets",
        },
    )

__all__ = [
    "DATASETS",
    "STANDARDS",
    "Copies",
    "Data",
    "DataError",
    "Kind",
    "Source",
    "Spectrogram",
    "Split",
    "Standard",
    "anchored",
    "as_float",
    "bach",
    "copies",
    "corrupted",
    "data_name",
    "described_data",
    "feature_table",
    "from_datasets",
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
    "resplit",
    "sample_images",
    "speech_commands",
    "spoken_digits",
    "standard_named",
    "subset",
    "tabular",
    "tensors",
    "tiny_imagenet",
    "train_on_val",
    "whole_of",
]
