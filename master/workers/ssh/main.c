/* drover-ssh-helper: a process for each worker that a master dials. It reads one request on standard input, tells on standard output how far it is, and then carries the bytes of the link between descriptor 3 and the
   worker's standard input and output, until one of them ends. The keys and the numbers of ssh are worked out here, where nobody waits for them but this worker, and what a hostile host sends is parsed here, away from the master.

   Happy path: request → reach.c → host.c → bridge.c. Failures: one word and one sentence, told; a helper that is killed or crashes is noticed by the end of its pipes. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/workers/dial_proc.h"
#include "master/workers/ssh/ssh.h"
#include "proto/records.h"

enum { MEMORY_MAX = 256 << 20, WHY_MAX = 2048 };

/* ---- to and from the master ---- */

static void say(struct buf *b)
{
  records_put(b, "end", "1");
  for (size_t at = 0; at < b->len;) {
    ssize_t n = write(1, b->data + at, b->len - at);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      _exit(1); /* nobody listens any more */
    at += (size_t)n;
  }
  buf_free(b);
}

void ssh_tell(const char *at)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  records_put(&b, "at", at);
  say(&b);
}

static void tell_look(bool old_key)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  records_put(&b, "at", "look");
  records_put(&b, "key", old_key ? "old" : "new");
  say(&b);
}

void ssh_tell_host(const char *os, const char *arch, const char *sum)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  records_put(&b, "at", "host");
  records_put(&b, "os", os);
  records_put(&b, "arch", arch);
  records_put(&b, "sum", sum);
  say(&b);
}

printf_like(3, 0) static _Noreturn void fail(const char *tag, const char *mark, const char *fmt, va_list ap)
{
  char *raw = xvasprintf(fmt, ap), *why = utf8_text(raw, strlen(raw), WHY_MAX, true);
  struct buf b;

  free(raw);
  buf_init(&b, BUF_NO_MAX);
  records_put(&b, "at", "failed");
  records_put(&b, "tag", tag);
  records_put(&b, "why", why);
  if (mark)
    records_put(&b, "mark", mark);
  free(why);
  say(&b);
  _exit(0);
}

void ssh_fail(const char *tag, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  fail(tag, NULL, fmt, ap);
}

void ssh_fail_key(const char *tag, const char *mark, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  fail(tag, mark, fmt, ap);
}

/* One message, to its end and not a byte further: what follows may be a program. */
static void hear(struct buf *b)
{
  char c;

  buf_init(b, DIAL_WIRE_MAX);
  while (!records_ended(b)) {
    ssize_t n = read(0, &c, 1);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      _exit(0); /* the master has nothing more to say */
    buf_addc(b, c);
    if (b->failed)
      ssh_fail("helper", "the request is too long");
  }
}

bool ssh_answer(char sum[SSH_SUM_LEN + 1], int64_t *size)
{
  struct buf b;
  bool brings;

  hear(&b);
  brings = ssh_answer_read(b.data, b.len, sum, size);
  buf_free(&b);
  return brings;
}

long ssh_program(char *to, size_t most)
{
  ssize_t n;

  while ((n = read(0, to, most)) < 0 && errno == EINTR)
    ;
  if (n <= 0)
    _exit(0);
  return n;
}

static void take_request(struct ssh *s, struct buf *b)
{
  hear(b);
  if (!ssh_request_read(&s->want, b->data, b->len))
    ssh_fail("helper", "the request is not complete: the master and its drover-ssh-helper are not of one version");
}

/* ---- the process ---- */

static void confine(void)
{
  struct rlimit none = { 0, 0 };
#if !defined(__SANITIZE_ADDRESS__)
  struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };
  setrlimit(RLIMIT_AS, &memory);
#endif
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* the next master dials anew */
  prctl(PR_SET_DUMPABLE, 0);        /* the cluster's key is in here */
  signal(SIGPIPE, SIG_IGN);
}

int main(void)
{
  struct ssh s = { .sock = -1 };
  struct buf request;

  confine();
  take_request(&s, &request);
  if (libssh2_init(0))
    ssh_fail("helper", "libssh2 can't be used");
  tell_look(ssh_reach(&s));
  ssh_prepare(&s);
  ssh_bridge(&s);
}
