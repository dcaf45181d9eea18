/* A helper process of a dialling: its messages, and its end of the link.

   Happy path: request → messages → exit. Failures: no process (gone follows from the loop), a message that is none or too long: it is killed. */
#include "master/workers/dial_proc.h"

#include <stdlib.h>

#include "master/core/helper.h"
#include "proto/records.h"

enum { STDERR_MAX = 2048 };

struct dial_proc {
  struct helper h;
  const struct dial_proc_ops *ops;
  void *arg;
  struct buf said; /* of a message that is not whole */
};

/* Byte by byte to the end of each message: they are few and short, and several may come at once. */
static void heard(struct helper *h, const char *bytes, size_t n)
{
  struct dial_proc *p = h->owner;

  for (size_t i = 0; i < n; i++) {
    buf_addc(&p->said, bytes[i]);
    if (bytes[i] || !records_ended(&p->said))
      continue;
    p->ops->told(p->arg, p->said.data, p->said.len);
    buf_reset(&p->said);
  }
  if (p->said.failed)
    helper_kill(h);
}

static void gone(struct helper *h)
{
  struct dial_proc *p = h->owner;

  p->ops->gone(p->arg, buf_str(&h->errors)); /* what went wrong it has told, or it could not: its exit says nothing more */
  helper_free(h);
  buf_free(&p->said);
  free(p);
}

void dial_proc_kill(struct dial_proc *p)
{
  helper_kill(&p->h);
}

void dial_proc_answer(struct dial_proc *p, struct buf *answer)
{
  (void)helper_say(&p->h, answer->data, answer->len); /* it is gone, or reads it */
  mem_wipe(answer->data, answer->len);
  buf_free(answer);
}

int dial_proc_link(struct dial_proc *p)
{
  return helper_link(&p->h);
}

struct dial_proc *dial_proc_new(uv_loop_t *loop, const char *program, const struct dial_proc_ops *ops, void *arg, struct buf *request)
{
  static const struct helper_ops helper_ops = { heard, gone };
  static char path[] = "PATH=/usr/bin:/bin", lang[] = "LANG=C.UTF-8";
  char *env[] = { path, lang, NULL };
  struct dial_proc *p = xcalloc(1, sizeof *p);

  p->ops = ops;
  p->arg = arg;
  buf_init(&p->said, DIAL_WIRE_MAX);
  helper_start(&p->h, loop, program, env, true, STDERR_MAX, &helper_ops, p);
  if (p->h.start_rc)
    buf_addf(&p->h.errors, "%s can't be started: %s", program, uv_strerror(p->h.start_rc));
  dial_proc_answer(p, request);
  return p;
}
