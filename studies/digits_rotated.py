"""Which augmentation search wins on upright digits that are tested rotated, for equal cost?

The data of `quickstart`, with the gradient-based strategies beside the black-box ones. What a learner found is also
trained anew from scratch: the network that learned it was told about the validation images.

Compared  Eleven strategies at equal cost; all search refinement epochs, their learning rate and mixup's alpha too. The
          three of MADAO have the settings of "short" (Adam without warm-up) and differ so: madao has the identity in
          place of the inverse Hessian and the score estimator, madao-cg conjugate gradients and the score estimator,
          madao-first-order the identity and the paper's pathwise estimator. So the first two compare solvers, the
          first and the third compare estimators; none is the paper's setting, which is madao("paper").
Cost      11 strategies x 30 CPU-seconds, 3 final seeds: 8 CPU-minutes in all
Answer    madao-cg .966 (its policy, trained anew: .969), tpe-autoaugment .964, truncated .950 (.963), madao .943
          (.957), madao-first-order .926 (.940), trivialaugment .913, tpe-randaugment .899, random .875,
          uniformaugment .873, stn .832 (.837), none .812 (n=3 each; 2 busy CPU cores, 2026-11-26). Three seeds tell
          few of the first apart.
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import (
    autoaugment,
    madao,
    madao_cg,
    madao_first_order,
    none,
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
        "madao-first-order": madao_first_order("pathwise"),  # with "short" it is madao()
        "truncated": truncated(),
        "stn": stn(),
    },
    budget=Budget(gpu_seconds=30),
    seeds=3,
)
