#!/bin/sh
# Shows what a container has of its own: `sh tools/show-isolation.sh COMMAND...`, where COMMAND runs
# its further words in a container. The same questions are asked here and in there, and the answers
# are printed side by side. Needs only sh, awk, cat, grep, ls, readlink and tr on both sides.
set -u

# One line for each question: the question, a tab, the answer.
facts() {
  fact "host name" "$(cat /proc/sys/kernel/hostname)"
  fact "pid of this shell" "$$"
  fact "pid 1" "$(cat /proc/1/comm)"
  set -- /proc/[0-9]*
  fact "processes to be seen" "$#"
  fact "mounts" "$(grep -c . /proc/self/mounts)"
  fact "root file system" "$(awk '$2 == "/" { kind = $3 } END { print kind }' /proc/self/mounts)"
  fact "devices in /dev" "$(devices)"
  fact "network interfaces" "$(awk -F : 'NR > 2 { gsub(/ /, "", $1); printf "%s%s", (NR == 3 ? "" : " "), $1 }' /proc/net/dev)"
  capabilities=$(bits "$(of_status CapEff)")
  fact "capabilities" "$capabilities of $(($(cat /proc/sys/kernel/cap_last_cap) + 1))"
  case "$(of_status Seccomp)" in
  2) fact "system calls" "filtered by seccomp" ;;
  *) fact "system calls" "all" ;;
  esac
  fact "memory limit" "$(bytes "$(limit memory memory.max memory.limit_in_bytes)")"
  fact "process limit" "$(limit pids pids.max pids.max)"
  fact "processor limit" "$(processors)"
  for space in mnt pid uts ipc net cgroup user time; do
    fact "namespace: $space" "$(readlink "/proc/self/ns/$space" | tr -dc 0-9)"
  done
}

fact() {
  printf '%s\t%s\n' "$1" "$2"
}

devices() {
  count=0
  for file in /dev/*; do
    if [ -L "$file" ]; then continue; fi
    if [ -b "$file" ] || [ -c "$file" ]; then count=$((count + 1)); fi
  done
  echo "$count"
}

of_status() {
  awk -v name="$1:" '$1 == name { print $2 }' /proc/self/status
}

# How many bits are set in a hexadecimal number.
bits() {
  printf '%s\n' "$1" | awk '{
    for (at = 1; at <= length($0); at++) {
      digit = index("0123456789abcdef", substr($0, at, 1)) - 1
      for (; digit > 0; digit = int(digit / 2)) count += digit % 2
    }
    print count + 0
  }'
}

# The directory of this process in the hierarchy of a controller, as far as it can be seen here.
group() {
  at=$(awk -F : -v wanted="$1" '$2 == wanted || $2 ~ "(^|,)" wanted "(,|$)" { print $3 }' /proc/self/cgroup)
  if [ -n "$at" ]; then
    base=/sys/fs/cgroup/$1
  else
    at=$(awk -F : '$1 == 0 { print $3 }' /proc/self/cgroup)
    base=/sys/fs/cgroup
  fi
  # In a cgroup namespace the mount shows the group itself as its root.
  if [ -d "$base$at" ]; then echo "$base$at"; else echo "$base"; fi
}

# A limit by controller, name of its file in cgroup v2, name in v1.
limit() {
  dir=$(group "$1")
  for name in "$2" "$3"; do
    if [ -r "$dir/$name" ]; then
      cat "$dir/$name"
      return
    fi
  done
  echo none
}

bytes() {
  case "$1" in
  max | none) echo none ;;
  *) printf '%s\n' "$1" | awk '{ if ($1 > 2 ^ 60) print "none"; else printf "%d MiB\n", $1 / 2 ^ 20 }' ;;
  esac
}

processors() {
  dir=$(group cpu)
  if [ -r "$dir/cpu.max" ]; then
    awk '{ if ($1 == "max") print "none"; else print $1 / $2 }' "$dir/cpu.max"
  elif [ -r "$dir/cpu.cfs_quota_us" ]; then
    quota=$(cat "$dir/cpu.cfs_quota_us")
    period=$(cat "$dir/cpu.cfs_period_us")
    awk -v quota="$quota" -v period="$period" 'BEGIN { if (quota < 0) print "none"; else print quota / period }'
  else
    echo none
  fi
}

# Asked inside: the answers, and a file in the root directory, to see who gets it.
if [ "${1:-}" = --inside ]; then
  facts
  echo changed >"$2"
  fact "a file made in there" "$(ls "$2")"
  exit
fi
if [ $# = 0 ]; then
  echo "usage: sh tools/show-isolation.sh COMMAND..." >&2
  exit 64
fi

here=$(facts)
canary=/made-inside.$$
# The script travels as text: the container need not see this file.
there=$("$@" /bin/sh -c "$(cat "$0")" show-isolation --inside "$canary") || exit
if [ -e "$canary" ]; then seen=$canary; else seen="is not here"; fi

{
  printf '%s\n' "$here"
  fact "a file made in there" "$seen"
  echo
  printf '%s\n' "$there"
} | awk -F '\t' '
  BEGIN { printf "%-22s  %-28s  %s\n", "", "this machine", "inside the container" }
  $0 == "" { inside = 1; next }
  !inside { question[++count] = $1; answer[$1] = $2; next }
  { there[$1] = $2 }
  END {
    for (at = 1; at <= count; at++) {
      name = question[at]
      printf "%-22s  %-28s  %s\n", name, answer[name], there[name]
    }
  }'
