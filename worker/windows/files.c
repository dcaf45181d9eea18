/* File operations: the few that every worker has. They are done where they stand. */
#include "worker/files.h"

#include <errno.h>
#include <string.h>

#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/windows/files_windows.h"
#include "worker/windows/place.h"

static const char *work_path;

void files_below(const char *work) { work_path = work; }
void files_init(struct files *f, int work, const struct confine *confine) { *f = (struct files){ .work = work, .confine = confine }; }
int files_poll(const struct files *f, struct pollfd *p) { return (void)f, (void)p, 0; }
void files_turn(struct files *f, const struct pollfd *p, int n, struct buf *out) { (void)f, (void)p, (void)n, (void)out; }
void files_forget(struct files *f) { (void)f; }

static const char *tag_of(int number)
{
  switch (number) {
  case ENOENT: return "notfound";
  case ENOTDIR: return "notdir";
  case EXDEV: return "outside";
  case EINVAL: return "badarg";
  case EACCES: return "denied";
  case ENOSPC: return "nospace";
  case EEXIST: return "exists";
  default: return "io";
  }
}

static int put_stat(const char *path, struct buf *out)
{
  struct place_stat st;
  int e = place_stat(work_path, path, &st);

  if (e)
    return e;
  records_put(out, "type", st.type);
  records_putf(out, "size", "%lld", (long long)st.size);
  records_put(out, "mode", st.read_only ? "444" : "644");
  records_putf(out, "mtime", "%lld", (long long)(st.mtime > 0 ? st.mtime : 0));
  return 0;
}

void files_take(struct files *f, const struct files_ask *ask, struct buf *out)
{
  const char *tag = "ok", *text;
  struct buf said;
  char *path = xstrndup(ask->blob, ask->n);
  int e = 0;

  (void)f;
  buf_init(&said, BUF_NO_MAX);
  if (ask->verb != VERB_stat && ask->verb != VERB_mkdir && ask->verb != VERB_remove) {
    tag = "badarg";
    buf_adds(&said, "a worker on Windows can't do that yet");
  } else if (strlen(path) != ask->n || !beneath_valid(path)) {
    tag = "badarg";
    buf_adds(&said, "that is no path below the work folder");
  } else {
    e = ask->verb == VERB_stat ? put_stat(path, &said) : ask->verb == VERB_mkdir ? place_mkdirs(work_path, path) : place_remove(work_path, path);
  }
  if (e) {
    tag = tag_of(e);
    text = e == EXDEV ? "a link leads out of the work folder" : e == EINVAL ? "Windows reads that name in another way" : strerror(e);
    buf_adds(&said, text);
  }
  wire_put_blob(out, VERB_done, buf_str(&said), said.len, "ns", ask->req, tag);
  buf_free(&said);
  free(path);
}
