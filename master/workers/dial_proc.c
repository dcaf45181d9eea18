/* A helper process of a dialling, its pipes and its end of the link.

   Happy path: socket pair → spawn → request → messages → exit. Failures: no process (gone follows from the loop), a message that is none or too long: it is killed. */
#include "master/workers/dial_proc.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "proto/records.h"

enum { STDERR_MAX = 2048, PART = 4096, HANDLES = 4 };

struct dial_proc {
  const struct dial_proc_ops *ops;
  void *arg;
  uv_process_t process;
  uv_pipe_t in, out, err_out;
  int open;      /* handles not yet closed */
  int link;      /* our end; -1: taken */
  struct buf heard, errors;
  char part[PART], spill[512];
};

struct sending {
  uv_write_t req;
  struct buf bytes;
};

/* ---- the end ---- */

static void on_closed(uv_handle_t *h)
{
  struct dial_proc *p = h->data;

  if (--p->open > 0)
    return;
  if (p->link >= 0)
    close(p->link);
  p->ops->gone(p->arg, buf_str(&p->errors));
  buf_free(&p->heard);
  buf_free(&p->errors);
  free(p);
}

static void shut(void *handle)
{
  uv_handle_t *h = handle;

  if (!uv_is_closing(h))
    uv_close(h, on_closed);
}

static void end_if_over(struct dial_proc *p)
{
  if (uv_is_closing((uv_handle_t *)&p->process) && uv_is_closing((uv_handle_t *)&p->out) && uv_is_closing((uv_handle_t *)&p->err_out))
    shut(&p->in);
}

void dial_proc_kill(struct dial_proc *p)
{
  if (!uv_is_closing((uv_handle_t *)&p->process) && p->process.pid > 1)
    uv_process_kill(&p->process, SIGKILL);
}

static void on_exit_status(uv_process_t *process, int64_t status, int sig)
{
  struct dial_proc *p = process->data;

  (void)status, (void)sig; /* what went wrong it has told, or it could not */
  shut(process);
  end_if_over(p);
}

/* ---- what it tells ---- */

static void out_room(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
  struct dial_proc *p = h->data;

  (void)suggested;
  *b = uv_buf_init(p->part, sizeof p->part);
}

/* Byte by byte to the end of each message: they are few and short, and several may come at once. */
static void take(struct dial_proc *p, const char *bytes, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    buf_addc(&p->heard, bytes[i]);
    if (bytes[i] || !records_ended(&p->heard))
      continue;
    p->ops->told(p->arg, p->heard.data, p->heard.len);
    buf_reset(&p->heard);
  }
  if (p->heard.failed)
    dial_proc_kill(p);
}

static void on_out(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
  struct dial_proc *p = s->data;

  if (n > 0) {
    take(p, b->base, (size_t)n);
  } else if (n < 0) {
    shut(s);
    end_if_over(p);
  }
}

static void err_room(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
  struct dial_proc *p = h->data;

  (void)suggested;
  *b = uv_buf_init(p->spill, sizeof p->spill);
}

static void on_err(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
  struct dial_proc *p = s->data;

  if (n > 0 && p->errors.len + (size_t)n < STDERR_MAX) {
    buf_add(&p->errors, b->base, (size_t)n);
  } else if (n < 0) {
    shut(s);
    end_if_over(p);
  }
}

/* ---- what it is told ---- */

static void on_written(uv_write_t *req, int status)
{
  struct sending *w = (struct sending *)req;

  (void)status; /* one that does not read has ended: that is told by its exit */
  mem_wipe(w->bytes.data, w->bytes.len);
  buf_free(&w->bytes);
  free(w);
}

void dial_proc_answer(struct dial_proc *p, struct buf *answer)
{
  struct sending *w = xcalloc(1, sizeof *w);
  uv_buf_t b;

  w->bytes = *answer;
  buf_init(answer, BUF_NO_MAX);
  b = uv_buf_init(w->bytes.data, (unsigned)w->bytes.len);
  if (uv_is_closing((uv_handle_t *)&p->in) || uv_write(&w->req, (uv_stream_t *)&p->in, &b, 1, on_written))
    on_written(&w->req, -1);
}

int dial_proc_link(struct dial_proc *p)
{
  int fd = p->link;

  p->link = -1;
  return fd;
}

/* ---- the beginning ---- */

static int spawn(struct dial_proc *p, uv_loop_t *loop, const char *program, int link)
{
  static char path[] = "PATH=/usr/bin:/bin", lang[] = "LANG=C.UTF-8";
  char *argv[] = { (char *)(uintptr_t)program, NULL }, *env[] = { path, lang, NULL };
  uv_stdio_container_t io[4] = {
    { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&p->in },
    { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->out },
    { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->err_out },
    { .flags = UV_INHERIT_FD, .data.fd = link },
  };
  uv_process_options_t opts = { .file = program, .args = argv, .env = env, .cwd = "/", .stdio = io, .stdio_count = 4, .exit_cb = on_exit_status, .flags = UV_PROCESS_DETACHED };

  return uv_spawn(loop, &p->process, &opts);
}

struct dial_proc *dial_proc_new(uv_loop_t *loop, const char *program, const struct dial_proc_ops *ops, void *arg, struct buf *request)
{
  struct dial_proc *p = xcalloc(1, sizeof *p);
  int pair[2] = { -1, -1 }, e;

  p->ops = ops;
  p->arg = arg;
  p->link = -1;
  buf_init(&p->heard, DIAL_WIRE_MAX);
  buf_init(&p->errors, STDERR_MAX);
  uv_pipe_init(loop, &p->in, 0);
  uv_pipe_init(loop, &p->out, 0);
  uv_pipe_init(loop, &p->err_out, 0);
  p->open = HANDLES;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
    pair[0] = pair[1] = -1;
  p->link = pair[0];
  e = spawn(p, loop, program, pair[1]); /* without a pair too: libuv then refuses, and the handle is as it must be to be closed */
  if (pair[1] >= 0)
    close(pair[1]);
  p->process.data = p->in.data = p->out.data = p->err_out.data = p;
  if (e) {
    buf_addf(&p->errors, "%s can't be started: %s", program, uv_strerror(e));
    shut(&p->process);
    shut(&p->out);
    shut(&p->err_out);
    end_if_over(p);
  } else {
    uv_read_start((uv_stream_t *)&p->out, out_room, on_out);
    uv_read_start((uv_stream_t *)&p->err_out, err_room, on_err);
  }
  dial_proc_answer(p, request);
  return p;
}
