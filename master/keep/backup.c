/* drover-master backup: everything a fresh host needs, in one folder, while the master runs.

   Happy path: a snapshot of the database, counted and dumped; the files of the configuration; keys; the manifest; all of it read back and compared; synced, renamed; the database is told.
   Failures: no database, no PostgreSQL programs, no space, a signal: what was written is removed and nothing has the backup's name. kill -9 leaves FOLDER.partial, which the next one removes. */
#include "master/keep/verbs.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/keep/manifest.h"
#include "master/keep/stash.h"
#include "master/keep/verify.h"
#include "master/db/pg_client.h"
#include "master/db/pg_snapshot.h"

struct backup {
  const struct conf *conf;
  struct client *client;
  struct snapshot *snapshot;
  struct stash *stash;
  struct manifest m;
  char *programs;
  int nkeys;
  struct buf why;
};

/* The file's place without "..": its folder as it really is, but not where a link that is the file itself leads. */
static char *place_of(const char *file)
{
  const char *slash = strrchr(file, '/');
  char *folder = slash == file ? xstrdup("/") : xstrndup(file, (size_t)(slash - file)), *real = realpath(folder, NULL), *place;

  place = real ? xasprintf("%s%s", strcmp(real, "/") ? real : "", slash) : xstrdup(file);
  free(folder);
  free(real);
  return place;
}

/* ---- the database ---- */

static enum err dump_one(struct backup *b, const char *name, bool rows)
{
  int fd = stash_create(b->stash, name, &b->why);
  enum err e = fd < 0 ? ERR_IO : snapshot_dump(b->snapshot, b->programs, rows, fd, &b->why);

  if (fd >= 0 && close(fd) && !e) {
    buf_addf(&b->why, "can't write %s: %s", name, strerror(errno));
    e = ERR_IO;
  }
  if (!e)
    manifest_add(&b->m, name, NULL, 0600);
  return e;
}

static void take_facts(struct backup *b)
{
  const struct snapshot *s = b->snapshot;
  struct manifest *m = &b->m;
  char host[256] = "";

  gethostname(host, sizeof host - 1);
  m->version = xstrdup(DROVER_VERSION);
  m->cluster = xstrdup(s->cluster);
  m->postgresql = xstrdup(client_version(b->client));
  m->host = xstrdup(*host ? host : "?");
  m->config_file = place_of(b->conf->files[0]);
  m->schema = s->schema;
  m->incarnation = s->incarnation;
  m->config = s->config;
  m->made_ms = s->made_ms;
  m->logs = s->logs;
  m->link_key = s->key;
  m->tables = xcalloc((size_t)s->ntables + 1, sizeof *m->tables);
  for (m->ntables = 0; m->ntables < s->ntables; m->ntables++)
    m->tables[m->ntables] = (struct manifest_table){ xstrdup(s->tables[m->ntables].name), s->tables[m->ntables].rows };
}

static enum err dump(struct backup *b, bool logs)
{
  enum err e = snapshot_begin(b->client, logs, &b->snapshot, &b->why);

  if (e)
    return e;
  take_facts(b);
  e = dump_one(b, MANIFEST_DATABASE, false);
  if (!e && logs)
    e = dump_one(b, MANIFEST_LOGS, true);
  snapshot_end(b->snapshot);
  b->snapshot = NULL;
  return e;
}

/* ---- files ---- */

/* Numbered, because two folders may have a file of one name, and in characters that no tool minds. */
static char *name_in(const char *folder, int number, const char *path)
{
  char *name = xasprintf("%s/%d-%s", folder, number, strrchr(path, '/') + 1), *at = name + strlen(folder) + 1;

  for (; *at; at++)
    if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || strchr("._-+@", *at)))
      *at = '_';
  return name;
}

static enum err copy_file(struct backup *b, const char *folder, int number, const char *path)
{
  char *name = name_in(folder, number, path), *place = place_of(path);
  struct stat st;
  enum err e = stash_copy(b->stash, name, path, &b->why);

  if (!e)
    manifest_add(&b->m, name, place, stat(path, &st) ? 0600 : (int)(st.st_mode & 0777));
  free(name);
  free(place);
  return e;
}

/* The keys on the disk: the site's (core/site_key.h). The workers' link key is in the database. */
static enum err copy_keys(struct backup *b)
{
  char *folder = xasprintf("%s/keys", b->conf->state);
  DIR *d = opendir(folder);
  struct dirent *entry;
  enum err e = ERR_OK;

  while (d && !e && (entry = readdir(d))) {
    char *path = xasprintf("%s/%s", folder, entry->d_name);
    struct stat st;
    if (!lstat(path, &st) && S_ISREG(st.st_mode))
      e = copy_file(b, "keys", b->nkeys++, path);
    free(path);
  }
  if (d)
    closedir(d);
  free(folder);
  return e;
}

static enum err copy_files(struct backup *b)
{
  enum err e = ERR_OK;

  for (int i = 0; i < b->conf->nfiles && !e; i++)
    e = copy_file(b, "config", i, b->conf->files[i]);
  return e ? e : copy_keys(b);
}

static enum err seal(struct backup *b)
{
  enum err e = ERR_OK;
  char *text, sha[65], *path, *line;
  int64_t size;

  for (int i = 0; i < b->m.nfiles && !e; i++) {
    path = xasprintf("%s/%s", stash_path(b->stash), b->m.files[i].name);
    e = stash_sum(path, &b->m.files[i].size, b->m.files[i].sha256, &b->why);
    free(path);
  }
  if (e)
    return e;
  text = manifest_write(&b->m);
  path = xasprintf("%s/" MANIFEST_NAME, stash_path(b->stash));
  e = stash_put(b->stash, MANIFEST_NAME, text, &b->why);
  if (!e)
    e = stash_sum(path, &size, sha, &b->why);
  if (!e) {
    line = xasprintf("%s  " MANIFEST_NAME "\n", sha);
    e = stash_put(b->stash, MANIFEST_SUM, line, &b->why);
    free(line);
  }
  free(text);
  free(path);
  return e;
}

static enum err check(struct backup *b)
{
  struct manifest read;
  enum err e = verify_files(stash_path(b->stash), &read, &b->why);

  if (!e)
    e = verify_dumps(stash_path(b->stash), &read, b->programs, &b->why);
  manifest_free(&read);
  return e;
}

/* ---- the whole ---- */

static enum err make(struct backup *b, const struct verb_args *a)
{
  enum err e = stash_begin(&b->stash, a->folder, &b->why); /* first: what can't be written needs no database */

  if (!e)
    e = client_open(&b->client, b->conf->state, b->conf->database_folder, b->conf->database, false, &b->why);
  if (!e)
    e = client_programs(b->client, atoi(client_version(b->client)), &b->programs, &b->why);
  if (!e)
    e = dump(b, !a->no_logs);
  if (!e)
    e = copy_files(b);
  if (!e)
    e = seal(b);
  if (!e)
    e = check(b);
  if (!e && client_interrupted()) {
    buf_adds(&b->why, "interrupted");
    e = ERR_TIMEOUT;
  }
  return e;
}

static void tell(const struct backup *b, bool logs, int64_t took_ms)
{
  int nkeys = b->nkeys + b->m.link_key;
  char database[24], size[24];

  printf("database %s, logs %s%s, %d key%s, configuration %" PRId64 "; verified, ", stash_size_text(verify_size(&b->m, MANIFEST_DATABASE), database),
         logs ? stash_size_text(verify_size(&b->m, MANIFEST_LOGS), size) : "left out", logs ? " (--no-logs to leave them out)" : "", nkeys, nkeys == 1 ? "" : "s", b->m.config);
  if (took_ms < 10000)
    printf("%.1f s\n", (double)took_ms / 1000);
  else
    printf("%" PRId64 " s\n", took_ms / 1000);
}

int verb_backup(const struct verb_args *a)
{
  struct backup b = { 0 };
  struct conf *conf = verb_conf(a->config, false);
  int64_t from = clock_mono_ms(), bytes;
  char *folder;
  enum err e;

  if (!conf)
    return verb_error(VERB_USAGE, "without the configuration it is not known where the database is");
  client_interrupts();
  log_set_level(LOG_WARN);
  umask(077);
  b.conf = conf;
  buf_init(&b.why, BUF_NO_MAX);
  e = make(&b, a);
  if (!e) {
    folder = xstrdup(stash_folder(b.stash));
    bytes = verify_size(&b.m, "");
    e = stash_finish(b.stash, &b.why);
    if (!e) {
      b.stash = NULL;
      if (snapshot_note(b.client, b.m.made_ms, b.m.host, folder, bytes, b.m.logs, &b.why))
        verb_error(0, "warning: the backup is whole, but the database could not be told of it: %s", buf_str(&b.why));
      tell(&b, b.m.logs, clock_mono_ms() - from);
    }
    free(folder);
  }
  if (e)
    verb_error(0, b.stash ? "%s; nothing was left of it" : "%s", buf_str(&b.why));
  snapshot_end(b.snapshot);
  stash_drop(b.stash);
  client_close(b.client);
  manifest_free(&b.m);
  free(b.programs);
  buf_free(&b.why);
  conf_free(conf);
  return e ? VERB_FAILED : VERB_OK;
}
