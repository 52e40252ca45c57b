// uncover-root PATH...: takes the root away with umount2(2), enters this mount namespace anew, and says
// of each PATH whether it exists there. Needs CAP_SYS_ADMIN and CAP_SYS_CHROOT. After pivot_root
// nothing lies below the root; after a chroot the host's tree does.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int own = open("/proc/self/ns/mnt", O_RDONLY);
  if (own < 0 || umount2("/", MNT_DETACH) != 0) {
    puts("kept");
    return 0;
  }
  if (setns(own, CLONE_NEWNS) != 0) return 2;
  for (int i = 1; i < argc; i++) puts(access(argv[i], F_OK) == 0 ? "there" : "absent");
  return 0;
}
