/* The host's side made ready: what system it is, the folder, and in it the program that the master hands out for it.

   Each step is one command, a script for the host's own sh whatever the user's login shell is; its answers are lines that begin with a mark, since shells may print what they like before it. What they say is the host's
   word: words for the master to look a program up by, sentences for people.
   A program is written under another name, compared in size and checksum, and takes its name as a whole: a broken connection leaves the old one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/workers/ssh/ssh.h"

enum { COMMAND_MS = 20000, UPLOAD_MS = 120000, OUT_MAX = 16384, PIECE = 32768 };

struct command {
  LIBSSH2_CHANNEL *channel;
  struct buf out, err;
};

LIBSSH2_CHANNEL *ssh_start(struct ssh *s, const char *command)
{
  LIBSSH2_CHANNEL *c;
  int e;

  while (!(c = libssh2_channel_open_session(s->session))) {
    if (libssh2_session_last_errno(s->session) != LIBSSH2_ERROR_EAGAIN)
      ssh_fail("refused", "%s lets %s in, and starts nothing: %s", s->want.host, s->want.user, ssh_error(s));
    ssh_wait(s, "refused", "the host starts nothing");
  }
  while ((e = libssh2_channel_exec(c, command)) == LIBSSH2_ERROR_EAGAIN)
    ssh_wait(s, "refused", "the host starts nothing");
  if (e)
    ssh_fail("refused", "%s lets %s in, but runs no command: %s", s->want.host, s->want.user, ssh_error(s));
  return c;
}

/* What is there of one of its two streams. True: something came. */
static bool take(struct ssh *s, LIBSSH2_CHANNEL *c, int stream, struct buf *to)
{
  char part[4096];
  ssize_t n = libssh2_channel_read_ex(c, stream, part, sizeof part);

  if (n == LIBSSH2_ERROR_EAGAIN)
    return false;
  if (n < 0)
    ssh_fail("unreachable", "the connection with %s broke: %s", s->want.host, ssh_error(s));
  if (n > 0 && to->len + (size_t)n <= OUT_MAX)
    buf_add(to, part, (size_t)n);
  return n > 0;
}

/* Reads until the command has ended. */
static void finish(struct ssh *s, struct command *c, const char *late)
{
  for (;;) {
    bool out = take(s, c->channel, 0, &c->out), err = take(s, c->channel, SSH_EXTENDED_DATA_STDERR, &c->err);
    if (out || err)
      continue;
    if (libssh2_channel_eof(c->channel))
      break;
    ssh_wait(s, "refused", late);
  }
  buf_addc(&c->out, 0);
  buf_addc(&c->err, 0);
}

static void begin(struct ssh *s, struct command *c, const char *text, int64_t ms)
{
  buf_init(&c->out, BUF_NO_MAX);
  buf_init(&c->err, BUF_NO_MAX);
  s->deadline = clock_mono_ms() + ms;
  c->channel = ssh_start(s, text);
}

static void end(struct command *c)
{
  libssh2_channel_free(c->channel); /* what it still has to say nobody waits for */
  buf_free(&c->out);
  buf_free(&c->err);
}

/* ---- looking ---- */

static void refused(struct ssh *s, const char *why)
{
  bool full = strstr(why, "No space left") || strstr(why, "quota");

  if (full)
    ssh_fail("disk_full", "the disk of %s is full: %s", s->want.host, why);
  ssh_fail("folder", "the folder %s on %s can't be used: %s", s->want.dir, s->want.host, why);
}

static void look(struct ssh *s, char os[SSH_WORD_MAX + 1], char arch[SSH_WORD_MAX + 1], char sum[SSH_WORD_MAX + 1])
{
  char why[SSH_SAID_MAX];
  struct command c;
  char *text = xasprintf(
    "exec sh -c 'd=\"%s\"; umask 077; echo \"" SSH_MARK "os $(uname -s)\"; echo \"" SSH_MARK "arch $(uname -m)\"; "
    "m=$(mkdir -p \"$d\" 2>&1); if test -d \"$d\" && test -w \"$d\" && test -x \"$d\"; then echo \"" SSH_MARK "good yes\"; else echo \"" SSH_MARK "bad ${m:-it may not be written}\"; exit 0; fi; "
    "if test -f \"$d/drover-worker\"; then s=$(sha256sum \"$d/drover-worker\" 2>/dev/null); echo \"" SSH_MARK "sum ${s%%%% *}\"; fi'",
    s->want.dir);

  begin(s, &c, text, COMMAND_MS);
  finish(s, &c, "it does not say what kind of host it is");
  free(text);
  ssh_said(c.out.data, "bad", why, sizeof why);
  if (*why)
    refused(s, why);
  ssh_said(c.out.data, "good", why, sizeof why);
  if (!*why)
    ssh_fail("refused", "%s lets %s in, and has no shell that runs a command: %.300s", s->want.host, s->want.user, c.err.data);
  ssh_said_word(c.out.data, "os", os);
  ssh_said_word(c.out.data, "arch", arch);
  ssh_said_word(c.out.data, "sum", sum);
  end(&c);
}

/* ---- bringing ---- */

/* The host takes no more for now. True: it never will, since the command has ended there. Where libssh2 has begun to send, nothing else may be asked of it. */
static bool deaf(struct ssh *s, struct command *c)
{
  if (libssh2_session_block_directions(s->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND)
    return false;
  while (take(s, c->channel, 0, &c->out) || take(s, c->channel, SSH_EXTENDED_DATA_STDERR, &c->err))
    ;
  return libssh2_channel_eof(c->channel);
}

/* The program's bytes, from the master to the host. The same bytes again where libssh2 asks for it. */
static void pour(struct ssh *s, struct command *command, int64_t size)
{
  LIBSSH2_CHANNEL *c = command->channel;
  char *piece = xmalloc(PIECE);

  while (size > 0) {
    long n = ssh_program(piece, size < PIECE ? (size_t)size : PIECE);
    for (long at = 0; at < n;) {
      ssize_t w = libssh2_channel_write(c, piece + at, (size_t)(n - at));
      if (w == LIBSSH2_ERROR_EAGAIN && deaf(s, command)) {
        free(piece);
        return;
      }
      if (w == LIBSSH2_ERROR_EAGAIN)
        ssh_wait(s, "refused", "it takes too long to bring the worker program there");
      else if (w < 0 && libssh2_channel_eof(c))
        n = at = 0, size = 0; /* it has ended, and says why */
      else if (w < 0)
        ssh_fail("unreachable", "the connection with %s broke while the worker program was brought: %s", s->want.host, ssh_error(s));
      else
        at += w;
    }
    size -= n;
  }
  free(piece);
  while (libssh2_channel_send_eof(c) == LIBSSH2_ERROR_EAGAIN)
    ssh_wait(s, "refused", "it takes too long to bring the worker program there");
}

static void bring(struct ssh *s, const char *sum, int64_t size)
{
  char done[SSH_WORD_MAX];
  struct command c;
  char *text = xasprintf(
    "exec sh -c 'umask 077; cd \"%s\" || exit 1; rm -f .drover-worker.new.*; t=.drover-worker.new.$$; "
    "if cat >$t && test $(wc -c <$t) -eq %lld; then case \"$(sha256sum $t 2>/dev/null)\" in \"\"|%s*) chmod 755 $t && mv -f $t drover-worker && echo \"" SSH_MARK "done yes\";; *) echo \"other bytes arrived\" >&2;; esac; fi; "
    "rm -f $t'",
    s->want.dir, (long long)size, sum);

  ssh_tell("bring");
  begin(s, &c, text, UPLOAD_MS);
  free(text);
  pour(s, &c, size);
  finish(s, &c, "it takes too long to bring the worker program there");
  ssh_said(c.out.data, "done", done, sizeof done);
  if (!*done)
    refused(s, *c.err.data ? c.err.data : "the worker program did not arrive whole");
  end(&c);
}

void ssh_prepare(struct ssh *s)
{
  char os[SSH_WORD_MAX + 1], arch[SSH_WORD_MAX + 1], have[SSH_WORD_MAX + 1], sum[SSH_SUM_LEN + 1];
  int64_t size;

  look(s, os, arch, have);
  ssh_tell_host(os, arch, have);
  if (ssh_answer(sum, &size))
    bring(s, sum, size);
}
