"""What data are called where others read it."""

import pytest

from autoaug.data import image_folder, npz, public_name, resized


@pytest.mark.parametrize(
    ("described", "shown"),
    [
        ("cifar10", "cifar10"),
        ("photos", "photos"),
        ("/home/process_name/photos/", "photos"),
        ("../../process_name/x.npz", "x.npz"),
        (repr(image_folder("/home/process_name/photos")), "ImageFolder(path='photos')"),
        (repr(npz("/home/process_name/x.npz")), "Npz(path='x.npz')"),
        (repr(resized("/home/process_name/photos", 16)), "Resized(data='photos', size=16)"),
        (repr(resized("cifar10", 16)), "Resized(data='cifar10', size=16)"),
        ("studies.mine.flowers", "studies.mine.flowers"),
        (".", "."),
    ],
)
def test_a_name_says_nothing_of_where_data_lie(described: str, shown: str) -> None:
    assert public_name(described) == shown
