#!/bin/sh
# Have the models that the lock file names, then become the server: start PROGRAM [ARGUMENT...].
# The first model's path comes last; all of them are in MODELS, one on a line.
set -eu

MODELS=$(rkfetch sync --locked --quiet ${SYNC_OPTION:+"$SYNC_OPTION"} \
  --file /etc/rkfetch/rkfetch.lock --into /srv/rkfetch)
export MODELS
exec "$@" "$(echo "$MODELS" | head -n 1)"
