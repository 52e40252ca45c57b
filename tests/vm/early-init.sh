#!/bin/sh
# First program of the machine, in the initramfs: finds the two disks and hands over to the root's init.
set -e
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
  insmod /modules/$module.ko
done
mount -t ext4 /dev/vda /root
mount -t ext4 /dev/vdb /root/tare
umount /proc
mount -o move /dev /root/dev
# Where the machine has a systemd, it is pid 1, and a unit of it runs the tests.
init=/tare/vm/init.sh
[ -e /root/etc/systemd/system/tare-tests.service ] && init=/usr/lib/systemd/systemd
exec switch_root /root "$init"
