"""Operations for images from above: any direction is up; haze, shadows of clouds, and the sensor.

Left out, for it does not keep the label where it matters:

- `hue`, `channel_shuffle`, `planckian_jitter`, `grayscale`, `invert`, `solarize`: crops, soil, water and roofs are told
  by their spectra.
- `perspective`: a sensor that looks down sees no vanishing point.
- `motion_blur`: the platform moves in one direction for all, and its blur is taken out before.

`zoom` stays; take it out where size is the class, as with cars and lorries at a known resolution.
"""

OPS_SATELLITE: tuple[str, ...] = (
    "hflip",
    "vflip",
    "rotate",
    "translate_x",
    "translate_y",
    "shear_x",
    "shear_y",
    "zoom",
    "brightness",
    "contrast",
    "color",
    "gamma",
    "sharpness",
    "auto_contrast",
    "gaussian_blur",
    "gaussian_noise",
    "jpeg",
    "plasma_shadow",
    "fog",
    "random_erasing",
)
