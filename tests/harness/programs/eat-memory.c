// eat-memory MEGABYTES [SECONDS]: maps and touches that much memory, says so, and holds it.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
  size_t size = (size_t)atol(argc > 1 ? argv[1] : "0") << 20;
  char *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    perror("mmap");
    return 2;
  }
  for (size_t at = 0; at < size; at += 4096) memory[at] = (char)(at >> 12 | 1);
  printf("ate %zu MB\n", size >> 20);
  fflush(stdout);
  if (argc > 2) sleep((unsigned)atoi(argv[2]));
  return 0;
}
