"""Which augmentation search wins on upright digits that are tested rotated, for equal cost?

The data of `quickstart`, with the gradient-based strategies beside the black-box ones. What a learner found is also
trained anew from scratch: the network that learned it was told about the validation images.

Compared  Thirteen strategies at equal cost; all search refinement epochs, their learning rate and mixup's alpha too.
          madao, madao-cg and madao-first-order are the paper's method, scaled to trainings of 160 steps, and differ in
          the solver of the inverse Hessian alone. online-score and online-score-cg move the same policy by the score
          function and Adam, and differ in the solver alone too.
Cost      13 strategies x 30 CPU-seconds, 3 final seeds: 10.3 CPU-minutes in all, 14 minutes on a busy machine
Answer    tpe-autoaugment .963, online-score-cg .960 (its policy, trained anew: .966), truncated .954 (.961),
          online-score .954 (.963), madao-first-order .936 (.945), madao .924 (.918), madao-cg .920 (.926),
          tpe-randaugment .907, trivialaugment .898, random .875, uniformaugment .872, stn .837 (.819), none .809 (n=3
          each; 2 busy CPU cores, 2026-11-27, commit 08a1114). Better than none with a corrected p below .05: the first
          four and trivialaugment. A search of madao or madao-cg had time for two trials: their order is chance.
"""

from functools import partial

from autoaug import Budget, Study, Task
from autoaug.hypergrad import conjugate_gradient
from autoaug.strategies import (
    autoaugment,
    madao,
    madao_cg,
    madao_first_order,
    none,
    online_score,
    randaugment,
    random_policy,
    stn,
    trivialaugment,
    truncated,
    uniformaugment,
)
from search_spaces.mixing import mixup_alpha
from search_spaces.refinement import refinement

study = Study(
    name="digits-rotated",
    task=Task(data="digits-rotated", model="convnet", epochs=20, batch_size=50, lr=0.2),
    space=refinement | mixup_alpha,
    strategies={
        "none": none(),
        "random": random_policy(),
        "trivialaugment": trivialaugment(),
        "uniformaugment": uniformaugment(),
        "tpe-randaugment": randaugment(sampler="tpe"),
        "tpe-autoaugment": autoaugment(sub_policies=2),
        "madao": madao(),
        "madao-cg": madao_cg(),
        "madao-first-order": madao_first_order(),
        "online-score": online_score(),
        "online-score-cg": online_score(partial(conjugate_gradient, 5, 1.0)),
        "truncated": truncated(),
        "stn": stn(),
    },
    budget=Budget(gpu_seconds=30),
    seeds=3,
)
