#!/bin/bash
# Runs the test files named in /tare/vm/files, tells the outside how it ended on the second serial port,
# and ends the machine. Pid 1 has become it, or systemd has started it.
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export TERM=dumb NO_COLOR=1 TARE_TEST_BUILD=/tare/.build
set -a
. /tare/vm/environment
set +a
stty -F /dev/ttyS1 raw

# Programs that the test files name, from outside.
[ ! -d /tare/vm/system ] || cp -r --no-clobber --preserve=mode /tare/vm/system/. /

cd /tare || exit 1
mapfile -t files < /tare/vm/files
# In a cgroup of its own: on v2 a group with processes cannot give controllers to its children.
setsid bun test --timeout "$TEST_TIMEOUT_MS" "${files[@]}" < /dev/null > /dev/ttyS1 2>&1
code=$?
printf '\ntare-vm-exit %d\n' "$code" > /dev/ttyS1
sync
echo b > /proc/sysrq-trigger
sleep 60
