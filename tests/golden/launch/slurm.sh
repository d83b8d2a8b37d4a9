#!/bin/bash
# tiny: an array of 16 drivers, which share the work through one PostgreSQL. Submit it with sbatch, from
# the folder of the project and with the environment in which `autoaug` runs; nodes see both.
#SBATCH --job-name=tiny
#SBATCH --array=0-15
#SBATCH --ntasks=1
#SBATCH --gres=gpu:2
#SBATCH --time=04:00:00
#SBATCH --output=%x-%A_%a.log
#SBATCH --open-mode=append
# After preemption and the loss of a node Slurm starts a task again, and it goes on. At the time limit it does not:
# submit the same file once more, and it goes on too.
#SBATCH --requeue
# Slurm tells the shell of this script alone, so many seconds before the end: `exec` makes the driver that process.
#SBATCH --signal=B:TERM@120
set -eu
exec autoaug run s.py --gpus 0,1 --gpus-per-trial 1 --storage env:AUTOAUG_STORAGE --grace 90 --quiet
