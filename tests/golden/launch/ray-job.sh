#!/bin/bash
# tiny: one driver as a job of a Ray cluster that runs already. Call it in the folder of the project, which is sent
# there, and where the cluster's token is: RAY_AUTH_TOKEN, a file that RAY_AUTH_TOKEN_PATH names, or ~/.ray/auth_token.
set -eu
export RAY_AUTH_MODE=token
exec ray job submit --address http://127.0.0.1:8265 --working-dir . \
    --runtime-env-json '{"excludes": [".git", ".venv", "artifacts", "*.db", "*.db-shm", "*.db-wal", "__pycache__"]}' \
    --no-wait -- \
    autoaug run s.py --executor ray --address auto --gpus-per-trial 1 --storage env:AUTOAUG_STORAGE --artifacts s3://bucket/artifacts --quiet
