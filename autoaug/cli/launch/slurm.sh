#!/bin/bash
# {{ study }}: an array of {{ workers }} drivers, which share the work through one PostgreSQL. Submit it with sbatch, from
# the folder of the project and with the environment in which `autoaug` runs; nodes see both.
#SBATCH --job-name={{ study }}
#SBATCH --array=0-{{ workers - 1 }}
#SBATCH --ntasks=1
{% if gpus %}
#SBATCH --gres=gpu:{{ gpus }}
{% endif %}
{% if time %}
#SBATCH --time={{ time }}
{% endif %}
#SBATCH --output=%x-%A_%a.log
#SBATCH --open-mode=append
# After preemption and the loss of a node Slurm starts a task again, and it goes on. At the time limit it does not:
# submit the same file once more, and it goes on too.
#SBATCH --requeue
# Slurm tells the shell of this script alone, so many seconds before the end: `exec` makes the driver that process.
#SBATCH --signal=B:TERM@{{ notice }}
set -eu
exec {{ command }}
