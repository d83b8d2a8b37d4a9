"""Which augmentation search wins on upright digits that are tested rotated, for equal cost?

The data of `quickstart`, with the gradient-based strategies beside the black-box ones. What a learner found is also
trained anew from scratch: the network that learned it was told about the validation images.

Cost      6 strategies x 20 CPU-seconds, 3 final seeds
Answer    madao .954 (its policy, trained anew: .962), truncated .946 (.947), tpe-randaugment .906, trivialaugment .904,
          random .873, none .814 (n=3 each, 2 CPU cores, 2026-11-20)
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import madao, none, randaugment, random_policy, trivialaugment, truncated
from search_spaces.mixing import mixup_alpha
from search_spaces.refinement import refine_epochs

study = Study(
    name="digits-rotated",
    task=Task(data="digits-rotated", model="convnet", epochs=20, batch_size=50, lr=0.2),
    space=refine_epochs | mixup_alpha,
    strategies={
        "none": none(),
        "random": random_policy(),
        "trivialaugment": trivialaugment(),
        "tpe-randaugment": randaugment(sampler="tpe"),
        "madao": madao(preset="short"),
        "truncated": truncated(form="range"),
    },
    budget=Budget(gpu_seconds=20),
    seeds=3,
)
