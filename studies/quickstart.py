"""Which augmentation search wins on upright digits that are tested rotated?

scikit-learn's 8x8 digits: 400 upright ones to train on, 600 to validate and 797 to test, those rotated uniformly within
±30 degrees. The shift is constructed, so the right answer is known: learn to rotate. madao and truncated learn it while
the network trains; what they found is also trained anew from scratch. `digits_rotated.py` asks the same of more
strategies, with more time.

Cost      6 strategies x 7 CPU-seconds, 3 final seeds each
Answer    truncated .957, madao .949 (its policy, trained anew: .955), tpe-randaugment .927, trivialaugment .918, random
          .866, none .797 (n=3 each; 2 CPU cores, 2026-11-21)
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import madao, none, randaugment, random_policy, trivialaugment, truncated
from search_spaces.mixing import mixup_alpha
from search_spaces.refinement import refinement

study = Study(
    name="quickstart",
    task=Task(data="digits-rotated", model="convnet", epochs=20, batch_size=50, lr=0.2),
    space=refinement | mixup_alpha,
    strategies={
        "none": none(),
        "random": random_policy(),
        "trivialaugment": trivialaugment(),
        "tpe-randaugment": randaugment(sampler="tpe"),
        "madao": madao(),
        "truncated": truncated(),
    },
    budget=Budget(gpu_seconds=7),
    seeds=3,
)
