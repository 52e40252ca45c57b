// burn-cpu SECONDS: spins that long by the wall clock, then prints the CPU time it got, in ms.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long now_ms(clockid_t clock) {
  struct timespec at;
  clock_gettime(clock, &at);
  return at.tv_sec * 1000LL + at.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
  long long end = now_ms(CLOCK_MONOTONIC) + (long long)(atof(argc > 1 ? argv[1] : "1") * 1000);
  while (now_ms(CLOCK_MONOTONIC) < end) {
  }
  printf("%lld\n", now_ms(CLOCK_PROCESS_CPUTIME_ID));
  return 0;
}
