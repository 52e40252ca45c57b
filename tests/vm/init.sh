#!/bin/bash
# Pid 1 of the machine: mounts what a distribution mounts, with cgroup v2 alone, runs the test files
# named in /tare/vm/files, and tells the outside how it ended on the second serial port.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o mode=600,ptmxmode=000 devpts /dev/pts
ln -sf pts/ptmx /dev/ptmx
chmod 666 /dev/pts/ptmx
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t tmpfs -o mode=755 tmpfs /run
ln -sfn /proc/self/fd /dev/fd
ln -sfn /proc/self/fd/0 /dev/stdin
ln -sfn /proc/self/fd/1 /dev/stdout
ln -sfn /proc/self/fd/2 /dev/stderr
busybox hostname tare-vm
busybox ip link set lo up

exec /tare/vm/run-tests.sh
