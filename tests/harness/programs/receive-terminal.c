// receive-terminal SOCKET [COLUMNS ROWS]: waits on a unix socket for the descriptor of a terminal,
// as a caller of `create --console-socket` does; sets its size, then copies what it shows to
// standard output and standard input to it, until the other side closes. 20 s at most.
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int receive(int connection) {
  char data[256], control[CMSG_SPACE(sizeof(int))];
  struct iovec vector = {data, sizeof data};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                           .msg_controllen = sizeof control};
  int fd = -1;
  if (recvmsg(connection, &message, 0) < 0) return -1;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc < 2 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
  strcpy(address.sun_path, argv[1]);
  alarm(20);
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&address, sizeof address) != 0 || listen(server, 1) != 0) return 2;
  puts("listening");
  fflush(stdout);
  int terminal = receive(accept(server, 0, 0));
  if (terminal < 0 || !isatty(terminal)) {
    puts("no terminal");
    return 1;
  }
  if (argc > 3) {
    struct winsize size = {.ws_col = (unsigned short)atoi(argv[2]), .ws_row = (unsigned short)atoi(argv[3])};
    ioctl(terminal, TIOCSWINSZ, &size);
  }
  puts("terminal");
  fflush(stdout);
  struct pollfd both[2] = {{terminal, POLLIN, 0}, {0, POLLIN, 0}};
  char bytes[4096];
  for (;;) {
    if (poll(both, 2, -1) < 0) return 2;
    if (both[1].revents) {
      ssize_t count = read(0, bytes, sizeof bytes);
      if (count <= 0) both[1].fd = -1;
      else if (write(terminal, bytes, (size_t)count) < 0) return 2;
    }
    if (both[0].revents) {
      ssize_t count = read(terminal, bytes, sizeof bytes);
      if (count <= 0) return 0; // EIO: the last process inside closed it.
      if (write(1, bytes, (size_t)count) < 0) return 2;
    }
  }
}
