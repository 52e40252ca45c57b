// call [--int80] NUMBER [ARG...]: one raw system call; prints "ret R errno E".
// An argument is a number (0x... too, all 64 bits) or s:TEXT for the address of a text.
// --int80 enters the kernel as a 32-bit program does, with the numbers of that table.
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Texts lie below 4 GiB, where a 32-bit call can name them.
static uint64_t argument(const char *text) {
  if (strncmp(text, "s:", 2) != 0) return strtoull(text, 0, 0);
  char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) exit(2);
  strncpy(low, text + 2, 4095);
  return (uint64_t)low;
}

static long int80(uint64_t number, uint64_t *a) {
  long ret;
  __asm__ volatile("push %%rbp\n\tmov %7, %%rbp\n\tint $0x80\n\tpop %%rbp"
                   : "=a"(ret)
                   : "a"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4]), "r"(a[5])
                   : "memory", "r8", "r9", "r10", "r11");
  return (int)ret;
}

int main(int argc, char **argv) {
  uint64_t args[6] = {0};
  int first = argc > 1 && strcmp(argv[1], "--int80") == 0 ? 2 : 1;
  if (argc <= first) return 2;
  uint64_t number = strtoull(argv[first], 0, 0);
  for (int i = 0; i < 6 && first + 1 + i < argc; i++) args[i] = argument(argv[first + 1 + i]);
  long ret;
  int error = 0;
  if (first == 2) {
    ret = int80(number, args);
    if (ret < 0) error = (int)-ret, ret = -1;
  } else {
    errno = 0;
    ret = syscall((long)number, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (ret == -1) error = errno;
  }
  printf("ret %ld errno %d\n", ret, error);
  return 0;
}
