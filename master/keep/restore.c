/* drover-master restore: a backup put back, on a fresh host or over what is there.

   Happy path: the backup's sums, the state folder's lock (no master runs), configuration files where there are none, the database (made and started where it is private), one transaction that
   puts everything back under a new incarnation, keys.
   Failures: a backup that is not as it was written, a newer schema, a master that runs, a drover that is there already (--force tells what would go, --replace CLUSTER does it): nothing is
   changed then. A restore that breaks off leaves the database as it was. */
#include "master/keep/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/keep/manifest.h"
#include "master/keep/stash.h"
#include "master/keep/verify.h"
#include "master/db/migrate.h"
#include "master/db/pg_client.h"
#include "master/db/pg_reload.h"

struct restore {
  const struct verb_args *a;
  struct manifest m;
  struct conf *conf;
  struct client *client;
  char *programs, *folder; /* folder: absolute */
  int lock;
  struct buf why;
};

/* ---- files ---- */

static char *folder_of(const char *path)
{
  const char *slash = strrchr(path, '/');

  return slash == path ? xstrdup("/") : slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
}

/* Folders on the way that are missing, 0755. */
static void make_way(const char *path)
{
  char *copy = xstrdup(path);

  for (char *p = copy + 1; (p = strchr(p, '/')); *p++ = '/') {
    *p = 0;
    (void)mkdir(copy, 0755);
  }
  free(copy);
}

static bool write_out(int fd, const struct buf *text)
{
  size_t done = 0;

  while (done < text->len) {
    ssize_t n = write(fd, text->data + done, text->len - done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    done += (size_t)n;
  }
  return !fsync(fd);
}

/* A file where there is none: its name comes with its contents, all or nothing. Owned as the folder it is in. */
static enum err put_file(struct restore *r, const struct manifest_file *f, const char *to)
{
  char *from = xasprintf("%s/%s", r->folder, f->name), *fresh = xasprintf("%s.restored", to), *around = folder_of(to);
  struct buf text;
  struct stat st;
  enum err e;
  int fd = -1;

  buf_init(&text, BUF_NO_MAX);
  make_way(to);
  e = stash_read(from, (size_t)f->size, &text, &r->why);
  if (!e) {
    (void)unlink(fresh);
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || (!stat(around, &st) && !geteuid() && fchown(fd, st.st_uid, st.st_gid)) || fchmod(fd, (mode_t)f->mode) || !write_out(fd, &text) || link(fresh, to)) {
      buf_addf(&r->why, "can't write %s: %s", to, strerror(errno));
      e = ERR_IO;
    }
  }
  if (fd >= 0) {
    close(fd);
    (void)unlink(fresh);
  }
  if (!e)
    printf("wrote %s\n", to);
  buf_free(&text);
  free(from);
  free(fresh);
  free(around);
  return e;
}

/* Where a file of the configuration goes: as it lay around the configuration of then, it lies around this one. */
static char *config_place(const struct restore *r, const char *path)
{
  char *then = folder_of(r->m.config_file), *now = folder_of(r->a->config), *place;
  size_t n = strlen(then);

  if (!strcmp(path, r->m.config_file))
    place = xstrdup(r->a->config);
  else if (str_starts(path, then) && path[n] == '/')
    place = xasprintf("%s%s", now, path + n);
  else
    place = xstrdup(path);
  free(then);
  free(now);
  return place;
}

static enum err put_config(struct restore *r)
{
  enum err e = ERR_OK;

  for (int i = 0; i < r->m.nfiles && !e; i++) {
    const struct manifest_file *f = &r->m.files[i];
    struct stat st;
    char *to;

    if (!str_starts(f->name, "config/") || !f->path)
      continue;
    to = config_place(r, f->path);
    if (!lstat(to, &st))
      printf("kept %s, which is there already\n", to);
    else
      e = put_file(r, f, to);
    free(to);
  }
  return e;
}

static enum err put_keys(struct restore *r)
{
  enum err e = ERR_OK;

  for (int i = 0; i < r->m.nfiles && !e; i++) {
    const struct manifest_file *f = &r->m.files[i];
    const char *base = f->path ? strrchr(f->path, '/') + 1 : NULL;
    struct stat st;
    char *to;

    if (!str_starts(f->name, "keys/") || !base)
      continue;
    to = xasprintf("%s/keys/%s", r->conf->state, base);
    if (!lstat(to, &st))
      printf("kept %s, which is there already\n", to);
    else
      e = put_file(r, f, to);
    free(to);
  }
  return e;
}

/* ---- the database ---- */

/* Whether what is there may go; otherwise what it is, and how to say yes. */
static enum err may_replace(struct restore *r, const struct pg_reload_there *t)
{
  if (!t->cluster || !t->used) /* a package's first start leaves a cluster that nobody would miss */
    return ERR_OK;
  if (r->a->replace && !strcmp(r->a->replace, t->cluster))
    return ERR_OK;
  if (r->a->replace)
    buf_addf(&r->why, "the database holds cluster %s, not %s: nothing was changed", t->cluster, r->a->replace);
  else if (r->a->force)
    buf_addf(&r->why, "this would destroy cluster %s (incarnation %" PRId64 ") with its %" PRId64 " builds, their logs, and the tokens of %" PRId64 " workers; to do it, add: --replace %s",
             t->cluster, t->incarnation, t->builds, t->workers, t->cluster);
  else
    buf_addf(&r->why, "there is a drover in that database already, cluster %s with %" PRId64 " builds: nothing was changed (--force tells how to replace it)", t->cluster, t->builds);
  return ERR_EXISTS;
}

static int open_dump(struct restore *r, const char *name)
{
  char *path = xasprintf("%s/%s", r->folder, name);
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    buf_addf(&r->why, "%s: %s", path, strerror(errno));
  free(path);
  return fd;
}

static void date_text(int64_t ms, char out[32])
{
  time_t t = (time_t)(ms / 1000);
  struct tm tm;

  strftime(out, 32, "%Y-%m-%d %H:%M", localtime_r(&t, &tm));
}

static enum err load(struct restore *r, const struct pg_reload_there *before)
{
  char date[32], gone[64];
  struct pg_reload job = { .database = open_dump(r, MANIFEST_DATABASE), .logs = -1, .replace = before->cluster != NULL, .least = before->incarnation > r->a->above ? before->incarnation : r->a->above, .gone = gone, .made_ms = r->m.made_ms,
    .bytes = verify_size(&r->m, ""), .host = r->m.host, .place = r->folder };
  enum err e = job.database < 0 ? ERR_IO : ERR_OK;

  date_text(r->m.made_ms, date);
  snprintf(gone, sizeof gone, "not in the backup of %s", date);
  if (!e && r->m.logs && (job.logs = open_dump(r, MANIFEST_LOGS)) < 0)
    e = ERR_IO;
  if (!e)
    e = pg_reload_run(r->client, r->programs, &job, &r->why);
  if (job.database >= 0)
    close(job.database);
  if (job.logs >= 0)
    close(job.logs);
  return e;
}

/* Only what is really known: how many builds are lost can be told where the database that had them was replaced. */
static void tell(const struct restore *r, const struct pg_reload_there *before, const struct pg_reload_there *after)
{
  char host[256] = "this host", date[32];
  const char *address = r->conf->address;

  if (address)
    snprintf(host, sizeof host, "%.*s", (int)(strrchr(address, ':') ? strrchr(address, ':') - address : (long)strlen(address)), address);
  else
    gethostname(host, sizeof host - 1);
  date_text(r->m.made_ms, date);
  printf("incarnation %" PRId64 " → %" PRId64 " · %" PRId64 " worker%s will find %s here without new tokens · ", r->m.incarnation, after->incarnation, after->workers, after->workers == 1 ? "" : "s", host);
  if (before->cluster && !strcmp(before->cluster, r->m.cluster) && before->builds >= after->builds)
    printf("%" PRId64 " builds after the backup are unknown: workers are told to forget them\n", before->builds - after->builds);
  else
    printf("builds after %s are unknown: workers are told to forget them\n", date);
  if (after->open)
    printf("%" PRId64 " builds ran when the backup was made: what their workers still have goes on, the rest is lost and built again\n", after->open);
  if (!r->m.logs)
    printf("logs are not in this backup; those of builds from now on are kept as ever\n");
}

static enum err restore_database(struct restore *r)
{
  struct pg_reload_there before = { 0 }, after = { 0 };
  enum err e = client_open(&r->client, r->conf->state, r->conf->database_folder, r->conf->database, true, &r->why);

  if (!e)
    e = client_programs(r->client, atoi(client_version(r->client)) > atoi(r->m.postgresql) ? atoi(client_version(r->client)) : atoi(r->m.postgresql), &r->programs, &r->why);
  if (!e)
    e = pg_reload_look(r->client, &before, &r->why);
  if (!e)
    e = may_replace(r, &before);
  if (!e)
    e = load(r, &before);
  if (!e)
    e = put_keys(r);
  if (!e)
    e = pg_reload_look(r->client, &after, &r->why);
  if (!e)
    tell(r, &before, &after);
  pg_reload_there_free(&before);
  pg_reload_there_free(&after);
  return e;
}

/* ---- the whole ---- */

static int run(struct restore *r)
{
  r->folder = realpath(r->a->folder, NULL);
  if (!r->folder)
    return verb_error(VERB_USAGE, "%s: %s", r->a->folder, strerror(errno));
  if (verify_files(r->folder, &r->m, &r->why))
    return VERB_FAILED;
  if (r->m.schema > migrate_latest()) {
    buf_addf(&r->why, "the backup has schema %d and was made by drover %s, this is drover %s, which knows up to %d: use the newer one", r->m.schema, r->m.version, DROVER_VERSION, migrate_latest());
    return VERB_FAILED;
  }
  if (put_config(r))
    return VERB_FAILED;
  r->conf = verb_conf(r->a->config, false);
  if (!r->conf)
    return VERB_USAGE;
  r->lock = verb_lock_state(r->conf->state);
  if (r->lock < 0)
    return VERB_BUSY;
  return restore_database(r) ? VERB_FAILED : VERB_OK;
}

int verb_restore(const struct verb_args *a)
{
  struct restore r = { .a = a, .lock = -1 };
  int code;

  client_interrupts();
  log_set_level(LOG_WARN);
  buf_init(&r.why, BUF_NO_MAX);
  code = run(&r);
  if (code && r.why.len)
    verb_error(0, "%s", buf_str(&r.why));
  client_close(r.client);
  if (r.lock >= 0)
    close(r.lock);
  conf_free(r.conf);
  manifest_free(&r.m);
  free(r.programs);
  free(r.folder);
  buf_free(&r.why);
  return code;
}
