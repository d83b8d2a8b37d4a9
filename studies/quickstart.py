"""Which augmentation search wins on upright digits that are tested rotated?

scikit-learn's 8x8 digits: 400 upright ones to train on, 600 to validate and 797 to test, those rotated uniformly within
±30 degrees. The shift is constructed, so the right answer is known: learn to rotate. `digits_rotated.py` asks the same
of the gradient-based strategies.

Cost      4 strategies x 12 trials of about 1 CPU-second, 3 final seeds each
Answer    tpe-randaugment .911, trivialaugment .905, random .874, none .812 (n=3 each; 2 CPU cores, 2026-11-20)
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import none, randaugment, random_policy, trivialaugment
from search_spaces.mixing import mixup_alpha
from search_spaces.refinement import refine_epochs

study = Study(
    name="quickstart",
    task=Task(data="digits-rotated", model="convnet", epochs=20, batch_size=50, lr=0.2),
    space=refine_epochs | mixup_alpha,
    strategies={
        "none": none(),
        "random": random_policy(),
        "trivialaugment": trivialaugment(),
        "tpe-randaugment": randaugment(sampler="tpe"),
    },
    budget=Budget(trials=12),
    seeds=3,
)
