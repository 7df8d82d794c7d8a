#!/bin/sh
# Put on this board what a lock file names, and print the models' paths, one on a line.
#
#   sh board-setup.sh [rkfetch.lock [FOLDER]]
#
# It needs rkfetch on the path and nothing else: no terminal, no HOME, and no answers. Run it as often
# as you like, after a power cut too; what is there and right is neither downloaded nor written again.
set -eu

lock=${1:-/srv/rkfetch/rkfetch.lock}
folder=${2:-$(dirname "$lock")}

# Downloads and models on one disk: then a model at its place is a hard link, and takes no room.
export RKFETCH_HOME="${RKFETCH_HOME:-$folder/store}"

tries=5 # for a network that comes and goes; each goes on where the one before stopped
wait=${RETRY_SECONDS:-20}

command -v rkfetch >/dev/null || {
  echo "board-setup: there is no rkfetch; docs/installing.md says how it gets here" >&2
  exit 127
}

while :; do
  code=0
  rkfetch sync --locked --quiet --file "$lock" --into "$folder" || code=$?
  tries=$((tries - 1))
  case $code in
    0) exit 0 ;;
    6) [ "$tries" -gt 0 ] || break ;;
    3) echo "board-setup: a model does not load here; is the board's runtime another one?" >&2; break ;;
    8) echo "board-setup: the disk is too small: give another folder" >&2; break ;;
    11) echo "board-setup: not here, and the network is off, or costs by the byte" >&2; break ;;
    *) break ;; # rkfetch has said what it is
  esac
  echo "board-setup: network trouble; once more in $wait s" >&2
  sleep "$wait"
done
exit "$code"
