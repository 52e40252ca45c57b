// swap-names A B SECONDS: exchanges two names as fast as it can (renameat2 RENAME_EXCHANGE).
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  time_t end = time(0) + atoi(argv[3]);
  while (time(0) < end) {
    for (int i = 0; i < 1000; i++) renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE);
  }
  return 0;
}
