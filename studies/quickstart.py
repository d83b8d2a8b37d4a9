"""Which augmentation search wins on upright digits that are tested rotated?

scikit-learn's 8x8 digits: 400 upright ones to train on, 600 to validate and 797 to test, those rotated uniformly within
±30 degrees. The shift is constructed, so the right answer is known: learn to rotate. madao and truncated learn it while
the network trains; what they found is also trained anew from scratch. `digits_rotated.py` asks the same of more
strategies, with more time.

Compared  Six strategies at equal cost; all search refinement epochs, their learning rate and mixup's alpha too. `none`
          and `random` are the controls, trivialaugment is the arm to beat. madao is the preset "short", not the paper's
          setting: the identity in place of the inverse Hessian, the score estimator, Adam without warm-up. truncated
          is its "range" form with one step of look-ahead.
Cost      6 strategies x 7 CPU-seconds, 3 final seeds each
Answer    truncated .951 (its policy, trained anew: .944), madao .925 (.959), trivialaugment .913, tpe-randaugment .879,
          random .873, none .812 (n=3 each; 2 busy CPU cores, 2026-11-26). Four to six trials each, of the learners one
          or two: seeds and trials are few, and an order within .05 is chance.
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
