/* A process with three pipes. */
#include "master/core/helper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 65536, HANDLES = 4 };

struct sending {
  uv_write_t req;
  size_t n;
  char bytes[];
};

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
  struct helper *h = handle->data;

  if (--h->open == 0)
    h->ops->gone(h);
}

static void shut(void *handle)
{
  uv_handle_t *h = handle;

  if (!uv_is_closing(h))
    uv_close(h, on_closed);
}

/* The last of exit, end of stdout and end of stderr closes what is still open. */
static void end_if_over(struct helper *h)
{
  if (uv_is_closing((uv_handle_t *)&h->process) && uv_is_closing((uv_handle_t *)&h->out) && uv_is_closing((uv_handle_t *)&h->err_out))
    shut(&h->in);
}

bool helper_lives(const struct helper *h)
{
  return !uv_is_closing((const uv_handle_t *)&h->process) && !uv_is_closing((const uv_handle_t *)&h->out);
}

void helper_kill(const struct helper *h)
{
  if (!uv_is_closing((const uv_handle_t *)&h->process) && h->process.pid > 1)
    kill(-h->process.pid, SIGKILL);
}

static void on_exit_status(uv_process_t *process, int64_t status, int sig)
{
  struct helper *h = process->data;

  h->exit_status = status;
  h->exit_signal = sig;
  if (sig)
    helper_kill(h); /* what it ran has nobody now */
  shut(process);
  end_if_over(h);
}

void helper_free(struct helper *h)
{
  if (h->link >= 0)
    close(h->link);
  buf_free(&h->errors);
}

/* ---- what it says ---- */

/* One for all: libuv fills it and hands it on before it asks for another. */
static void out_room(uv_handle_t *handle, size_t suggested, uv_buf_t *b)
{
  static char part[READ_BYTES];

  (void)handle, (void)suggested;
  *b = uv_buf_init(part, sizeof part);
}

static void on_out(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
  struct helper *h = s->data;

  if (n > 0) {
    h->ops->heard(h, b->base, (size_t)n);
  } else if (n < 0) {
    shut(s);
    end_if_over(h);
  }
}

static void err_room(uv_handle_t *handle, size_t suggested, uv_buf_t *b)
{
  struct helper *h = handle->data;

  (void)suggested;
  *b = uv_buf_init(h->spill, sizeof h->spill);
}

static void on_err(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
  struct helper *h = s->data;

  if (n > 0) {
    size_t room = h->errors.max - h->errors.len;
    buf_add(&h->errors, b->base, (size_t)n < room ? (size_t)n : room);
  } else if (n < 0) {
    shut(s);
    end_if_over(h);
  }
}

/* ---- what it is told ---- */

static void on_written(uv_write_t *req, int status)
{
  struct sending *w = (struct sending *)req;

  (void)status; /* one that does not read has ended: that is told by its exit */
  mem_wipe(w->bytes, w->n);
  free(w);
}

bool helper_say(struct helper *h, const void *p, size_t n)
{
  struct sending *w;
  uv_buf_t b;

  if (uv_is_closing((uv_handle_t *)&h->in))
    return false;
  w = xcalloc(1, sizeof *w + n);
  w->n = n;
  memcpy(w->bytes, p, n);
  b = uv_buf_init(w->bytes, (unsigned)n);
  if (!uv_write(&w->req, (uv_stream_t *)&h->in, &b, 1, on_written))
    return true;
  on_written(&w->req, -1);
  return false;
}

void helper_hush(struct helper *h)
{
  shut(&h->in);
}

/* ---- the beginning ---- */

static int spawn(struct helper *h, uv_loop_t *loop, const char *program, char **env, const int *theirs)
{
  char *argv[] = { (char *)(uintptr_t)program, NULL };
  uv_stdio_container_t io[4] = {
    { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&h->in },
    { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&h->out },
    { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&h->err_out },
    { .flags = UV_INHERIT_FD, .data.fd = theirs ? *theirs : -1 },
  };
  uv_process_options_t opts = { .file = program, .args = argv, .env = env, .cwd = "/", .stdio = io, .stdio_count = theirs ? 4 : 3,
                                .exit_cb = on_exit_status, .flags = UV_PROCESS_DETACHED }; /* no Ctrl-C for it, and a group of its own */

  return uv_spawn(loop, &h->process, &opts);
}

int helper_link(struct helper *h)
{
  int fd = h->link;

  h->link = -1;
  return fd;
}

void helper_start(struct helper *h, uv_loop_t *loop, const char *program, char **env, bool linked, size_t errors_max, const struct helper_ops *ops, void *owner)
{
  int pair[2] = { -1, -1 }, e = 0;

  *h = (struct helper){ .ops = ops, .owner = owner, .open = HANDLES };
  buf_init(&h->errors, errors_max);
  uv_pipe_init(loop, &h->in, 0);
  uv_pipe_init(loop, &h->out, 0);
  uv_pipe_init(loop, &h->err_out, 0);
  if (linked && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
    e = uv_translate_sys_error(errno);
  h->link = pair[0];
  h->start_rc = spawn(h, loop, program, env, linked ? &pair[1] : NULL); /* without a pair too: libuv then refuses, and the handle is as it must be to be closed */
  if (e)
    h->start_rc = e;
  if (pair[1] >= 0)
    close(pair[1]);
  h->process.data = h->in.data = h->out.data = h->err_out.data = h;
  if (h->start_rc) {
    shut(&h->process);
    shut(&h->out);
    shut(&h->err_out);
    end_if_over(h);
    return;
  }
  uv_read_start((uv_stream_t *)&h->out, out_room, on_out);
  uv_read_start((uv_stream_t *)&h->err_out, err_room, on_err);
}
