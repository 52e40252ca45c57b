#!/bin/sh
# Makes docs/media/tare.svg anew: host on the left, container on the right, both real.
# Needs root, dist/tare (make build), npx, and the Debian packages tmux and asciinema.
# What is written is written inside of the container, and thrown away with it.
set -eu

cd "$(dirname "$0")/.."
SVG_TERM=svg-term-cli@2.1.1
WIDTH=100 HEIGHT=24
media=docs/media
scene=$(mktemp -d)
tmux="tmux -L tare-record-$$ -f /dev/null"
trap '$tmux kill-server 2>/dev/null || true; rm -rf "$scene"' EXIT

# Types a line into a pane (0: host, 1: container), then waits: $3 seconds, 0.8 where not given.
type() {
  $tmux send-keys -t "demo:0.$1" -l "$2"
  sleep 0.4
  $tmux send-keys -t "demo:0.$1" Enter
  sleep "${3:-0.8}"
}

both() {
  type 0 "$1" 0.2
  type 1 "$1" 1.2
}

# Nothing more is typed on the right before the container's own prompt is there.
wait_for_box() {
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    $tmux capture-pane -p -t demo:0.1 | grep -q '^box# *$' && return
    sleep 0.5
  done
  echo "record: no container came" >&2
  exit 1
}

# Shells with an empty environment: no set-up file of the caller's runs.
$tmux new-session -d -s demo -x $WIDTH -y $HEIGHT "env -i TERM=screen PATH=$PATH PS1='host# ' sh"
$tmux set -g status off
$tmux set -g pane-active-border-style fg=default
$tmux split-window -h -t demo:0 "env -i TERM=screen PATH=$PWD/dist:$PATH PS1='# ' sh"

script -qec "stty cols $WIDTH rows $HEIGHT; asciinema rec -q --overwrite \
  -c '$tmux attach -t demo' $scene/tare.cast" /dev/null >/dev/null &
recorder=$!
sleep 1.5

type 1 "tare run --rm -it -m 64m -h box -e PS1='box# ' @host" 1
wait_for_box
both 'hostname'
both 'echo $$'
both 'ps ax | wc -l'
both 'grep CapEff /proc/self/status'
both 'grep Seccomp: /proc/self/status'
type 1 'touch /made-inside; ls /made-inside'
type 0 'ls /made-inside'
type 1 'mount -t tmpfs none /mnt' 1
type 1 'tail /dev/zero' 2
type 1 'exit' 2
$tmux kill-server
wait $recorder || true

# Without tmux's farewell, and with three seconds to read the last picture.
awk -F'[[,]' '/1049l/ { exit } { print; at = $2 } END { printf "[%f, \"o\", \" \"]\n", at + 3 }' \
  "$scene/tare.cast" >"$scene/cut.cast"
mkdir -p $media
npx --yes $SVG_TERM --in "$scene/cut.cast" --out $media/tare.svg --window --no-cursor --padding 8
ls -l $media/tare.svg
