/* A helper process and its pipes. */
#include "master/changes/gitproc.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "master/changes/githelper.h"
#include "proto/records.h"

enum { STDERR_MAX = 4096, READ_BYTES = 65536, IDLE_MS = 3000, RETIRE_MS = 10000, HANDLES = 5 };

enum proc_state { PROC_IDLE, PROC_BUSY, PROC_ENDING, PROC_STATES };

static const struct sm_row proc_rows[PROC_STATES] = {
  [PROC_IDLE] = { "idle", SM_TO(PROC_BUSY) | SM_TO(PROC_ENDING) },
  [PROC_BUSY] = { "busy", SM_TO(PROC_IDLE) | SM_TO(PROC_ENDING) },
  [PROC_ENDING] = { "ending", 0 },
};

static void enter(struct gitproc *p, enum proc_state next)
{
  sm_move(&p->sm, next);
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *h)
{
  struct gitproc *p = h->data;

  if (--p->open > 0)
    return;
  list_remove(&p->node);
  p->ops->gone(p);
  buf_free(&p->answer);
  buf_free(&p->errors);
  free(p);
}

static void shut(void *handle)
{
  uv_handle_t *h = handle;

  if (!uv_is_closing(h))
    uv_close(h, on_closed);
}

/* The last of exit, end of stdout and end of stderr closes what is still open. */
static void end_if_over(struct gitproc *p)
{
  if (!uv_is_closing((uv_handle_t *)&p->process) || !uv_is_closing((uv_handle_t *)&p->out) || !uv_is_closing((uv_handle_t *)&p->err_out))
    return;
  if (p->sm.state != PROC_ENDING)
    enter(p, PROC_ENDING);
  shut(&p->in);
  shut(&p->timer);
}

static void on_timer(uv_timer_t *t);

/* With the programs that it runs, and what those run (git its ssh): it is the first of a process group of its own. */
static void kill_all(const struct gitproc *p)
{
  if (p->process.pid > 1)
    kill(-p->process.pid, SIGKILL);
}

void gitproc_retire(struct gitproc *p)
{
  if (p->sm.state != PROC_ENDING)
    enter(p, PROC_ENDING);
  p->ask = NULL;
  shut(&p->in); /* it reads that there is no more, and ends; or else */
  if (!uv_is_closing((uv_handle_t *)&p->timer))
    uv_timer_start(&p->timer, on_timer, RETIRE_MS, 0);
}

void gitproc_kill(struct gitproc *p)
{
  if (p->sm.state != PROC_ENDING)
    enter(p, PROC_ENDING);
  if (!uv_is_closing((uv_handle_t *)&p->timer))
    uv_timer_stop(&p->timer);
  if (!uv_is_closing((uv_handle_t *)&p->process))
    kill_all(p);
}

/* ---- running ---- */

static void on_timer(uv_timer_t *t)
{
  struct gitproc *p = t->data;

  if (p->ask)
    p->ops->late(p);
  else if (p->sm.state == PROC_ENDING)
    gitproc_kill(p);
  else
    gitproc_retire(p);
}

static void on_exit_status(uv_process_t *process, int64_t status, int sig)
{
  struct gitproc *p = process->data;

  p->exit_status = status;
  p->exit_signal = sig;
  if (sig)
    kill_all(p);
  shut(process);
  end_if_over(p);
}

static void out_room(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
  struct gitproc *p = h->data;

  (void)suggested;
  if (buf_reserve(&p->answer, READ_BYTES))
    *b = uv_buf_init(p->answer.data + p->answer.len, READ_BYTES);
  else
    *b = uv_buf_init(NULL, 0); /* on_out gets UV_ENOBUFS */
}

static void on_out(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
  struct gitproc *p = s->data;

  (void)b;
  if (n > 0) {
    buf_grown(&p->answer, (size_t)n);
    if (!p->ask)
      return; /* nobody asked: it is not listened to */
    p->ops->heard(p);
    if (p->ask && records_ended(&p->answer))
      p->ops->answered(p);
  } else if (n < 0) {
    if (n == UV_ENOBUFS && p->ask)
      p->ops->too_large(p);
    shut(s);
    end_if_over(p);
  }
}

static void err_room(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
  struct gitproc *p = h->data;

  (void)suggested;
  *b = uv_buf_init(p->spill, sizeof p->spill);
}

static void on_err(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
  struct gitproc *p = s->data;

  if (n > 0) {
    size_t room = STDERR_MAX - p->errors.len;
    buf_add(&p->errors, b->base, (size_t)n < room ? (size_t)n : room);
  } else if (n < 0) {
    shut(s);
    end_if_over(p);
  }
}

static int spawn(struct gitproc *p, uv_loop_t *loop, const char *program)
{
  static char home[] = "HOME=/nonexistent", path[] = "PATH=/usr/bin:/bin", lang[] = "LANG=C.UTF-8";
  char *argv[] = { (char *)(uintptr_t)program, NULL }, *env[] = { home, path, lang, NULL };
  uv_stdio_container_t io[3] = {
    { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&p->in },
    { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->out },
    { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->err_out },
  };
  uv_process_options_t opts = { .file = program, .args = argv, .env = env, .cwd = "/", .stdio = io, .stdio_count = 3,
                                .exit_cb = on_exit_status, .flags = UV_PROCESS_DETACHED }; /* no Ctrl-C for it, and a group of its own */

  return uv_spawn(loop, &p->process, &opts);
}

struct gitproc *gitproc_new(uv_loop_t *loop, const char *program, const struct gitproc_ops *ops, void *owner)
{
  struct gitproc *p = xcalloc(1, sizeof *p);

  p->ops = ops;
  p->owner = owner;
  list_init(&p->node);
  sm_init(&p->sm, "git helper", proc_rows, PROC_STATES, PROC_IDLE);
  buf_init(&p->answer, GITH_OUTPUT_MAX + READ_BYTES);
  buf_init(&p->errors, STDERR_MAX);
  uv_pipe_init(loop, &p->in, 0);
  uv_pipe_init(loop, &p->out, 0);
  uv_pipe_init(loop, &p->err_out, 0);
  uv_timer_init(loop, &p->timer);
  p->open = HANDLES;
  p->start_rc = spawn(p, loop, program);
  p->process.data = p->in.data = p->out.data = p->err_out.data = p->timer.data = p->write.data = p;
  if (p->start_rc) {
    shut(&p->process);
    shut(&p->out);
    shut(&p->err_out);
    end_if_over(p);
    return p;
  }
  uv_read_start((uv_stream_t *)&p->out, out_room, on_out);
  uv_read_start((uv_stream_t *)&p->err_out, err_room, on_err);
  return p;
}

static void on_written(uv_write_t *w, int status)
{
  (void)w, (void)status; /* one that does not read has ended: that is told by its exit */
}

void gitproc_ask(struct gitproc *p, void *ask, const struct buf *request)
{
  uv_buf_t bytes = uv_buf_init(request->data, (unsigned)request->len);

  p->ask = ask;
  if (p->start_rc)
    return;
  enter(p, PROC_BUSY);
  p->asked++;
  buf_reset(&p->answer);
  if (uv_write(&p->write, (uv_stream_t *)&p->in, &bytes, 1, on_written))
    gitproc_kill(p);
}

void gitproc_deadline(struct gitproc *p, int64_t ms)
{
  uv_timer_start(&p->timer, on_timer, ms > 0 ? (uint64_t)ms : 0, 0);
}

bool gitproc_idle(const struct gitproc *p)
{
  return p->sm.state == PROC_IDLE && !p->start_rc;
}

void gitproc_rest(struct gitproc *p)
{
  p->ask = NULL;
  enter(p, PROC_IDLE);
  buf_reset(&p->answer);
  uv_timer_start(&p->timer, on_timer, IDLE_MS, 0);
}
