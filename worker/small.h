/* Small files of the worker's own folder: read whole, and replaced whole so that a reader or a crash finds the old one or the new one. */
#ifndef WORKER_SMALL_H
#define WORKER_SMALL_H
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/mem.h"

/* At most size - 1 bytes, with a NUL behind them. ERR_NOTFOUND: there is none. No link is followed. */
enum err small_read(int dir, const char *name, char *text, size_t size) must_check;
/* Into a file that is there, in one write, as the kernel's own want it; false: errno. */
bool small_put(int dir, const char *path, const char *text);
/* By `next`, a second name in dir; only its owner may read it. On the disk when it returns. The file that was there before is `next` from then on, so that the next time takes no room: a disk that is full is no reason
   not to greet. ERR_NOSPACE, else ERR_IO. */
enum err small_replace(int dir, const char *name, const char *next, const char *text, size_t n) must_check;
#endif
