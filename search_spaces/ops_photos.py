"""Operations for photographs of things and scenes: what cameras, weather and distance do to them.

Left out, for it does not keep the label where it matters:

- `vflip`: scenes have a sky, and a network that sees them upside down learns what no photograph shows.
- `hue`, `channel_shuffle`, `invert`: flowers, birds, fruit and traffic lights are told by their colours.
- `elastic`: it bends what is straight in the world.

`hflip` stays; take it out where left and right are classes, as with arrows, letters and hands.
"""

OPS_PHOTOS: tuple[str, ...] = (
    "hflip",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "zoom",
    "perspective",
    "brightness",
    "contrast",
    "color",
    "sharpness",
    "gamma",
    "planckian_jitter",
    "grayscale",
    "auto_contrast",
    "equalize",
    "solarize",
    "posterize",
    "gaussian_blur",
    "motion_blur",
    "gaussian_noise",
    "jpeg",
    "plasma_shadow",
    "fog",
    "random_erasing",
)
