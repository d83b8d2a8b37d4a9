#!/bin/bash
# tiny: one driver, with a Ray cluster over 4 nodes. Submit it with sbatch, from the folder of
# the project and with the environment in which `autoaug` runs; all nodes see both.
#SBATCH --job-name=tiny
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
# `ray symmetric-run` ends with `ray stop`, which ends every Ray of this user on a node, those of other jobs too.
#SBATCH --exclusive
#SBATCH --gpus-per-node=8
#SBATCH --time=04:00:00
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
# After preemption and the loss of a node Slurm starts the job again, and it goes on. At the time limit it does not:
# submit the same file once more. All that is lost is what trials did since their last checkpoints.
#SBATCH --requeue
set -eu
# Only who knows the token of this job may use its cluster: in a file that nobody else can read.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$PWD/.ray-token-$SLURM_JOB_ID"
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT
rm -f "$RAY_AUTH_TOKEN_PATH"
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH")
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun ray symmetric-run --address "$head:6379" --min-nodes 4 -- \
    autoaug run s.py --executor ray --address auto --gpus-per-trial 0.25 --storage env:AUTOAUG_STORAGE --quiet
