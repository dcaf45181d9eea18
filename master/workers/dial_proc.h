/* A process of drover-ssh-helper, for one dialling of one worker: what it is asked, what it tells, its end.

   Messages are records (proto/records.h) and end with `end=1`. Request: name, user, host, port, dir, key (PEM), old_key (likewise, good as well; not there mostly), pin=…, each a host key or a fingerprint that is taken.
   It tells: at=look (the host is the right one, and has let us in), key=new or old (which of the two did); at=host, os, arch, sum (of the worker program that is there, or empty), and waits for an answer; at=bring; at=run: the worker was started, and the link
   is its standard input and output; at=failed, tag, why, and, where it is about the host's key, mark: its fingerprint. What is in them is partly the host's word.
   The answer: sum, size, then so many bytes of the program; without a size the host has the right one. */
#ifndef MASTER_WORKERS_DIAL_PROC_H
#define MASTER_WORKERS_DIAL_PROC_H
#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"
#include "common/mem.h"

#define DIAL_WIRE_MAX (64u << 10) /* of a message, a program's bytes not counted */

struct dial_proc;
struct dial_proc_ops {
  void (*told)(void *arg, const char *p, size_t n); /* a whole message */
  void (*gone)(void *arg, const char *errors);      /* once; nothing of the process is left; errors: what it wrote to standard error, "" mostly */
};

/* Starts it and hands it the request, which is wiped and emptied. Told of from the loop, never from within. */
struct dial_proc *dial_proc_new(uv_loop_t *loop, const char *program, const struct dial_proc_ops *ops, void *arg, struct buf *request) must_check;
void dial_proc_answer(struct dial_proc *p, struct buf *answer); /* wiped and emptied */
/* Our end of the link, the caller's from now on; -1: it was taken before, or there is none. */
int dial_proc_link(struct dial_proc *p);
void dial_proc_kill(struct dial_proc *p); /* gone() follows */
#endif
