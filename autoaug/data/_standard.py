"""The augmentation that is always on, in plain facts: who reads a storage needs its name, and no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Standard:
    """The augmentation that is always on for a dataset, as is usual in the papers: a padded crop and a flip."""

    pad: float = 0.125
    """Zeros around the image before the crop, as a fraction of its size: 4 pixels of 32."""
    flip: bool = True
    """Mirror left and right, half of the time."""

    def __str__(self) -> str:
        """Return its name in STANDARDS, with a pad that is not the default: "crop+flip", "crop of 0.25"."""
        crop = "crop" if self.pad == Standard.pad else f"crop of {self.pad:g}"
        return "+".join([crop] * (self.pad > 0) + ["flip"] * self.flip) or "none"


STANDARDS: dict[str, Standard] = {
    "crop+flip": Standard(),
    "crop": Standard(flip=False),
    "flip": Standard(pad=0.0),
    "none": Standard(pad=0.0, flip=False),
}
"""What `Task.standard` may ask for by name."""
