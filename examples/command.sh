#!/bin/sh
# Train by gradient descent, in a shell: what a study tells a command, and what it wants to hear. command.py starts it.
set -eu

told() { # the value of a key of trial.json, which stands on a line of its own
  sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" "$AUTOAUG_TRIAL" | head -n 1
}

state="$(told folder)/state" # the attempts at a trial share the folder
trap 'echo "told to end in epoch $epoch"; exit 143' TERM

epoch=0 weight=0
if [ -f "$state" ]; then read -r epoch weight < "$state"; fi

while [ "$epoch" -lt 5 ]; do
  echo "$epoch $weight" > "$state.new" && mv "$state.new" "$state" # whole or not at all
  epoch=$((epoch + 1))
  weight=$(awk -v w="$weight" -v lr="$(told lr)" 'BEGIN { printf "%.6f", w - lr * 2 * (w - 3) }')
  error=$(awk -v w="$weight" 'BEGIN { printf "%.6f", (w - 3) ^ 2 }')
  test=""
  if [ "$epoch" = 5 ] && [ "$(told final)" = true ]; then test=", \"test_error\": $error"; fi
  echo "{\"epoch\": $epoch, \"epochs\": 5, \"val_error\": $error$test}" >> "$(told metrics)"
done
