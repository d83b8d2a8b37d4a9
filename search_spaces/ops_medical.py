"""Operations for radiographs, CT, MRI and ultrasound: pose, exposure, noise, and tissue that gives way.

Left out, for it does not keep the label where it matters:

- `hflip` and `vflip`: which side an organ is on is a finding (dextrocardia), and sides are named in reports.
- `invert`, `solarize`: bright is dense; inverted, bone is air.
- `posterize`, `equalize`, `auto_contrast`: an intensity can be a measurement, as Hounsfield units are.
- `random_erasing`, `cutout`: a lesion is small, and what is blacked out may be all of it.
- `hue`, `color`, `saturation`, `channel_shuffle`, `planckian_jitter`: these images have no colours.

`elastic` stays, as in nnU-Net; take it out where shape is the finding, as with the outline of a mass.
"""

OPS_MEDICAL: tuple[str, ...] = (
    "translate_x",
    "translate_y",
    "rotate",
    "zoom",
    "shear_x",
    "shear_y",
    "elastic",
    "brightness",
    "contrast",
    "gamma",
    "sharpness",
    "gaussian_blur",
    "gaussian_noise",
    "plasma_brightness",
)
