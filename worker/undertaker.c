/* Settles a command whose minder is gone without a result, or whose host was restarted: ends what is left of its processes,
   mends its log, writes the result. Runs as a minder does (holding the lock, apart from the agent), since checking a log takes time. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "proto/records.h"
#include "worker/cgroup.h"
#include "worker/minder.h"
#include "worker/notice.h"
#include "worker/os.h"
#include "worker/secret_files.h"
#include "worker/segment.h"
#include "worker/slot.h"
#include "worker/spec.h"
#include "worker/tree.h"

enum { SWEEP_MS = 20, SWEEPS_MAX = 500, CLEAN_ROUNDS = 2 };

/* What a dead minder left running carries the command's id in its environment. Two rounds without a find are the end. */
static void end_strays(const char *cmd, const struct spool_started *started)
{
  int clean = 0, killed = 0;

  for (int i = 0; i < SWEEPS_MAX && clean < CLEAN_ROUNDS; i++) {
    int n = tree_kill_strays(cmd, started->at_ms);
    clean = n ? 0 : clean + 1;
    killed += n;
    if (n)
      poll(NULL, 0, SWEEP_MS);
  }
  if (killed)
    log_warn("minder", "%s: ended processes that its dead minder had left", cmd);
}

/* What hid that too, where the command had a user of its own and no namespace that ended with its minder. */
static void end_user(const struct minder_args *a, const struct confine *c, const struct spool *sp)
{
  int work = open(a->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct spool_cmd cmd = { .blob = NULL };
  uid_t uid = 0;

  if (work >= 0 && c->first && !c->spaces && !spool_read_cmd(sp, a->cmd_fd, &cmd)) {
    const char *cwd = records_get(cmd.blob, cmd.blob_len, "cwd");
    uid = cwd ? slot_owner(c, work, cwd, false) : 0;
  }
  if (uid)
    slot_sweep(uid);
  free(cmd.blob);
  if (work >= 0)
    close(work);
}

/* A result counts when all of its log is there. Then it is made this boot's, so that it isn't checked again. */
static bool result_good(struct spool *sp, struct spool_started *started, const struct segment_writer *w, bool complete, const struct spool_exit *logs)
{
  struct spool_exit x;

  if (spool_read_exit(sp, &x) || !complete || x.len != w->off || x.crc != w->crc || x.lines != w->lines || x.nlogs > logs->nlogs)
    return false;
  for (int i = 0; i < x.nlogs; i++)
    if (x.log[i].len != logs->log[i].len || x.log[i].crc != logs->log[i].crc || x.log[i].lines != logs->log[i].lines)
      return false;
  os_boot_id(started->boot);
  return spool_write_started(sp, started) == ERR_OK;
}

/* Those of the files that it followed. */
static enum err mend_logs(const struct minder_args *a, const struct spool *sp, bool deep, struct spool_exit *x, bool *complete)
{
  struct spool_cmd cmd;
  enum err e = spool_read_cmd(sp, a->cmd_fd, &cmd);
  int n = e ? 1 : spec_streams(cmd.blob, cmd.blob_len);

  free(cmd.blob);
  e = ERR_OK;
  for (int i = 0; i < n - 1; i++) {
    struct spool s = *sp;
    struct segment_writer w;
    bool whole;
    enum err one;
    s.stream = i + 1;
    one = segment_mend(&s, deep, &w, &whole);
    e = e ? e : one;
    *complete = *complete && whole;
    x->log[x->nlogs++] = (struct spool_log){ .len = w.off, .lines = w.lines, .crc = w.crc };
  }
  return e;
}

int undertaker_main(const struct minder_args *a, struct spool *sp)
{
  bool boot = !strcmp(a->mode, "boot"), complete;
  struct spool_exit x = { .how = "lost" };
  struct spool_started started = { .pid = 0 };
  struct segment_writer w;
  struct confine c;
  enum err e, more;

  if (spool_read_started(sp, &started))
    started.at_ms = 0;
  if (!boot) {
    if (!confine_read(&c, a->confine) && c.group)
      cgroup_end(&c, sp->cmd, cgroup_make(&c, sp->cmd));
    end_strays(sp->cmd, &started);
    end_user(a, &c, sp);
    confine_free(&c);
  }
  secret_files_remove(sp);
  e = segment_mend(sp, boot, &w, &complete);
  more = mend_logs(a, sp, boot, &x, &complete);
  e = e ? e : more;
  if (!e && boot && result_good(sp, &started, &w, complete, &x)) {
    notice_wake(a->wake_fd, sp->cmd, true);
    return 0;
  }
  snprintf(x.reason, sizeof x.reason, e ? "spool" : boot ? "boot" : "minder");
  x.len = w.off;
  x.crc = w.crc;
  x.lines = w.lines;
  while ((e = spool_write_exit(sp, &x, true)) == ERR_NOSPACE)
    poll(NULL, 0, 200);
  if (!e && boot) {
    os_boot_id(started.boot);
    e = spool_write_started(sp, &started);
  }
  if (e)
    log_error("minder", "%s: no result: %s", sp->cmd, err_text(e));
  notice_wake(a->wake_fd, sp->cmd, true);
  return e ? 1 : 0;
}
