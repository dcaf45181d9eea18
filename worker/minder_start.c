/* The way into a minder: from the spooled command to a process that runs. */
#include "worker/minder_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/cgroup.h"
#include "worker/os.h"
#include "worker/secret_files.h"
#include "worker/secrets.h"
#include "worker/slot.h"
#include "worker/wrap.h"

static int write_started(struct minder *m)
{
  struct spool_started s = { .pid = getpid(), .at_ms = clock_boot_ms() };
  enum err e;

  os_boot_id(s.boot);
  while ((e = spool_write_started(&m->sp, &s)) == ERR_NOSPACE)
    minder_wait_for_room();
  return e ? EIO : 0;
}

/* The command has them: what is left here are the masks. */
static void wipe_secrets(struct minder *m)
{
  for (size_t i = 0; i < m->spec.nenv; i++)
    mem_wipe(m->spec.env[i], strlen(m->spec.env[i]));
  mem_wipe(m->values, m->nvalues);
}

/* What came with the command is all of it; a terminal without any is at its end. */
static void begin_input(struct minder *m)
{
  size_t n = 0;
  char *given = spec_input(&m->spec, m->values, m->nvalues, &n);

  input_begin(&m->input, m->child.in, m->spec.terminal, given, n);
}

/* Its folders, as the user whose they are. */
static int prepare(struct minder *m, int work, int *cwd, const char **what)
{
  int e;

  *what = m->spec.cwd;
  m->uid = m->confine.first ? slot_owner(&m->confine, work, m->spec.cwd, true) : 0;
  if (m->confine.first && !m->uid)
    return errno;
  os_as(m->uid);
  e = child_prepare(&m->spec, work, cwd, what);
  os_as(0);
  return e;
}

static int start(struct minder *m, int work, int cwd, const char **what)
{
  struct child_how how = { .confine = &m->confine, .uid = m->uid, .work = m->args->work, .values = m->values, .nvalues = m->nvalues, .unshield = m->args->unshield };
  int e;

  *what = "its control group";
  if (m->confine.group && (m->group = cgroup_make(&m->confine, m->sp.cmd)) < 0 && m->confine.ruled & RULED_LIMITS)
    return errno;
  *what = m->spec.argv[0];
  if (m->confine.wrapper && (e = wrap_command(&m->spec, &m->confine, work, m->args->path, m->sp.cmd)))
    return e;
  how.group = m->group < 0 ? -1 : cgroup_entry(m->group);
  e = child_start(&m->spec, cwd, &how, &m->child, what);
  if (how.group >= 0)
    close(how.group);
  if (!*what)
    *what = m->spec.argv[0];
  return e;
}

int minder_begin(struct minder *m, const char **doing, const char **what)
{
  int work = open(m->args->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC), cwd = -1, e;

  *doing = "can't use the folder";
  *what = m->args->work;
  e = work < 0 ? errno : prepare(m, work, &cwd, what);
  minder_set_timers(m);
  if (e)
    return e;
  *doing = "can't write", *what = "the spool";
  if ((e = write_started(m)))
    return e;
  *doing = "can't make a file of the secret";
  if (m->spec.nsecrets && (e = secrets_place(&m->spec, &m->sp, m->args->spool, m->uid, m->values, m->nvalues, what)))
    return e;
  if (m->spec.nlogs)
    follows_begin(&m->logs, &m->spec, &m->sp, fcntl(work, F_DUPFD_CLOEXEC, 0), m->uid, &m->out, m->args->wake_fd);
  *doing = "can't open", *what = "the input";
  if (m->spec.fed && (e = input_open(&m->input)))
    return e;
  *doing = "can't start";
  e = start(m, work, cwd, what);
  close(cwd);
  close(work);
  if (e)
    return e;
  begin_input(m);
  if (m->values || m->spec.fed)
    os_no_dump(); /* not before: the child, which shares this memory until it is another program, has files of its own in /proc to write to */
  if (m->values)
    wipe_secrets(m);
  return 0;
}

bool minder_take_secrets(struct minder *m)
{
  const char *why = "it can't be read";

  m->values = m->args->secrets_fd < 0 ? NULL : secrets_read(m->args->secrets_fd, &m->nvalues);
  if (!m->values || !secrets_check(m->cmd.blob, m->cmd.blob_len, m->values, m->nvalues, &why)) {
    log_error("minder", "%s: no secrets: %s", m->sp.cmd, why);
    return false;
  }
  output_mask(&m->out, &m->spec, m->values, m->nvalues);
  return true;
}
