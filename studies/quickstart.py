"""Which augmentation search wins on upright digits that are tested rotated?

scikit-learn's 8x8 digits: 400 upright ones to train on, 600 to validate and 797 to test, those rotated uniformly within
±30 degrees. The shift is constructed, so the right answer is known: learn to rotate. online-score and truncated learn
it while the network trains; what they learned is also trained anew from scratch. `digits_rotated.py` asks the same of
more strategies, with more time.

Compared  Six strategies at equal cost; all search refinement epochs, their learning rate and mixup's alpha too. `none`
          and `random` are the controls, trivialaugment is the arm to beat. online-score moves MADAO's policy by the
          score function, with the identity in place of the inverse Hessian and Adam without warm-up; a trial of the
          paper's `madao` costs more than this budget. truncated is its "range" form with one step of look-ahead.
Cost      6 strategies x 7 CPU-seconds, 3 final seeds each
Answer    truncated .949 (its policy, trained anew: .955), online-score .945 (.956), trivialaugment .919, random .872,
          tpe-randaugment .860, none .797 (n=3 each; 2 busy CPU cores, 2026-11-27, on commit 767cdd6). Three to five
          trials each, of the learners one: seeds and trials are few, and an order within .05 is chance.
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import none, online_score, randaugment, random_policy, trivialaugment, truncated
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
        "online-score": online_score(),
        "truncated": truncated(),
    },
    budget=Budget(gpu_seconds=7),
    seeds=3,
)
