/* Pseudo-terminals, as POSIX has them. */
#include "worker/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>


#define USUAL_EOF 4 /* Ctrl-D */

static int set_size(int fd, int cols, int rows)
{
  struct winsize size = { .ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows };

  return ioctl(fd, TIOCSWINSZ, &size);
}

int terminal_open(int cols, int rows, int *slave)
{
  int fd = posix_openpt(O_RDWR | O_NOCTTY), number;
  const char *name;

  if (fd < 0)
    return -1;
  *slave = -1;
  if (!grantpt(fd) && !unlockpt(fd) && (name = ptsname(fd)))
    *slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*slave >= 0 && !set_size(fd, cols, rows) && fcntl(fd, F_SETFD, FD_CLOEXEC) >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) >= 0)
    return fd;
  number = errno;
  close(fd);
  if (*slave >= 0)
    close(*slave);
  errno = number;
  return -1;
}

void terminal_resize(int fd, const char *size)
{
  int cols, rows;

  if (terminal_size(size, &cols, &rows) && set_size(fd, cols, rows))
    errno = 0; /* nobody has it open any more */
}

void terminal_control(int slave)
{
  ioctl(slave, TIOCSCTTY, 0);
}

char terminal_eof(int fd)
{
  struct termios t;

  return tcgetattr(fd, &t) ? USUAL_EOF : (char)t.c_cc[VEOF];
}
