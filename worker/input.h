/* Standard input of the command, as the minder gives it: what came with the command, or frames out of the FIFO `in` (feed.h), through a pipe or a terminal, never waiting for the command.

     open ──▶ closed        open: there is, or may come, more. closed: its end was given. gone: nobody reads any more
      └─────▶ gone */
#ifndef WORKER_INPUT_H
#define WORKER_INPUT_H
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/sm.h"
#include "worker/feed.h"

struct input {
  struct spool *sp;
  struct sm sm;
  int fd;                 /* to the command; -1: no more is given */
  int fifo;               /* -1: all of it came with the command */
  int wake_fd;
  bool terminal;
  char *bytes;            /* what is to be given next: of `frame`, of `owned`, or the end of a terminal's input */
  size_t n;
  bool ending;            /* behind these comes the end */
  bool ended;             /* bytes are the terminal's end themselves */
  char last;              /* byte that was given */
  int64_t off, told;      /* fed: what was given, and what of it `fed` says */
  char *owned;            /* all that came with the command; wiped and freed at the end */
  size_t nowned;
  char end[2];
  char frame[FEED_FRAME_MAX];
};

/* Nothing is given: the command reads from /dev/null. */
void input_init(struct input *in, struct spool *sp, int wake_fd);
/* Before the command is started, where it is fed: opens the FIFO. 0, or errno. */
int input_open(struct input *in) must_check;
/* fd, not blocking, is this one's from now on. bytes: what came with the command, taken over; NULL where it is fed, or where a terminal is to be at its end. */
void input_begin(struct input *in, int fd, bool terminal, char *bytes, size_t n);
/* What to wait for, and what to do when it has come: two descriptors. */
enum { INPUT_POLLS = 2 };
void input_poll(const struct input *in, struct pollfd p[INPUT_POLLS]);
void input_turn(struct input *in, const struct pollfd p[INPUT_POLLS]);
#endif
