// leave-chroot PATH: the classic way out of a bare chroot, then says whether PATH exists there.
// Needs CAP_SYS_CHROOT. After pivot_root there is nothing above, and PATH stays absent.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int root = open("/", O_RDONLY | O_DIRECTORY);
  if (argc < 2 || root < 0 || chroot("/tmp") != 0 || fchdir(root) != 0) {
    perror("leave-chroot");
    return 2;
  }
  for (int step = 0; step < 200; step++) {
    if (chdir("..") != 0) break;
  }
  if (chroot(".") != 0) return 2;
  puts(access(argv[1], F_OK) == 0 ? "escaped" : "inside");
  return 0;
}
