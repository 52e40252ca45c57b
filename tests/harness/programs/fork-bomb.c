// fork-bomb ATTEMPTS: forks sleeping children until that many or the first failure; prints
// "forked N errno E" and ends its children. Bounded, so that a missing limit cannot hurt.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTEMPTS_MAX 500

int main(int argc, char **argv) {
  int attempts = atoi(argc > 1 ? argv[1] : "50");
  pid_t children[ATTEMPTS_MAX];
  int forked = 0, error = 0;
  if (attempts > ATTEMPTS_MAX) attempts = ATTEMPTS_MAX;
  while (forked < attempts) {
    pid_t pid = fork();
    if (pid == 0) {
      pause();
      _exit(0);
    }
    if (pid < 0) {
      error = errno;
      break;
    }
    children[forked++] = pid;
  }
  printf("forked %d errno %d\n", forked, error);
  for (int i = 0; i < forked; i++) {
    kill(children[i], SIGKILL);
    waitpid(children[i], 0, 0);
  }
  return 0;
}
