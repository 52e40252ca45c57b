// exec-watch PREFIX SECRET: looks at every process that it can see, over and over, until TERM. Prints
// how many there were, and how many had a right that this one lacks, a descriptor or a root of a file
// below PREFIX, or SECRET in the environment or in words of the runtime's (CVE-2016-9962).
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t over;
static const char *prefix, *secret;

static void stop(int signal) { (void)signal, over = 1; }

static int read_file(const char *path, char *into, int size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  int length = read(fd, into, size - 1);
  close(fd);
  if (length >= 0) into[length] = 0;
  return length;
}

static unsigned long long rights(const char *pid) {
  char path[300], text[8192];
  snprintf(path, sizeof path, "/proc/%s/status", pid);
  if (read_file(path, text, sizeof text) <= 0) return 0;
  const char *line = strstr(text, "CapEff:");
  return line ? strtoull(line + 7, 0, 16) : 0;
}

static int links_out(const char *pid, const char *name) {
  char path[300], target[4096];
  snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
  int length = readlink(path, target, sizeof target - 1);
  if (length < 0) return 0;
  target[length] = 0;
  return strncmp(target, prefix, strlen(prefix)) == 0;
}

static int holds_host(const char *pid) {
  char path[300], name[300];
  snprintf(path, sizeof path, "/proc/%s/fd", pid);
  int found = links_out(pid, "root") + links_out(pid, "cwd");
  DIR *fds = opendir(path);
  struct dirent *entry;
  while (fds && (entry = readdir(fds))) {
    snprintf(name, sizeof name, "fd/%s", entry->d_name);
    found += links_out(pid, name);
  }
  if (fds) closedir(fds);
  return found > 0;
}

static int tells(const char *pid, const char *name) {
  static char text[65536];
  char path[300];
  snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
  int length = read_file(path, text, sizeof text);
  return length > 0 && memmem(text, length, secret, strlen(secret)) != 0;
}

static int knows_secret(const char *pid) { return tells(pid, "environ") || tells(pid, "cmdline"); }

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  prefix = argv[1], secret = argv[2];
  signal(SIGTERM, stop);
  unsigned long long own = rights("self");
  int looks = 0, privileged = 0, holding = 0, knowing = 0;
  puts("looking");
  fflush(stdout);
  while (!over) {
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
      const char *pid = entry->d_name;
      if (!isdigit((unsigned char)*pid) || strcmp(pid, "1") == 0) continue;
      looks++;
      privileged += (rights(pid) & ~own) != 0;
      holding += holds_host(pid);
      knowing += knows_secret(pid);
    }
    if (proc) closedir(proc);
  }
  printf("privileged %d holding %d knowing %d\n", privileged, holding, knowing);
  fprintf(stderr, "%d\n", looks);
  return 0;
}
