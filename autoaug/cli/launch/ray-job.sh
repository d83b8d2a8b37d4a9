#!/bin/bash
# {{ study }}: one driver as a job of a Ray cluster that runs already. Call it in the folder of the project, which is sent
# there, and where the cluster's token is: RAY_AUTH_TOKEN, a file that RAY_AUTH_TOKEN_PATH names, or ~/.ray/auth_token.
set -eu
export RAY_AUTH_MODE=token
exec ray job submit --address {{ address | quote }} --working-dir . \
    --runtime-env-json {{ excludes | json | quote }} \
    --no-wait -- \
    {{ command }}
