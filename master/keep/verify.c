/* drover-master verify: everything that can be known of a backup without putting it back.

   Happy path: manifest and its sum, each file's size and SHA-256, each dump through pg_restore, rows counted.
   Failures: a missing file, another byte, a cut dump, a table with more or fewer rows: the first one found is told. PostgreSQL's programs not installed: told, because a backup that was not
   looked into is not verified. */
#include "master/keep/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/map.h"
#include "common/str.h"
#include "master/keep/copycount.h"
#include "master/keep/stash.h"
#include "master/keep/verbs.h"
#include "master/db/pg_client.h"

enum { SUM_MAX = 200, BLOCK = 1 << 16, LOOK_MS = 250 };

/* ---- files ---- */

static enum err check_sum(const char *folder, struct buf *why)
{
  char *path = xasprintf("%s/" MANIFEST_SUM, folder), *manifest = xasprintf("%s/" MANIFEST_NAME, folder), sha[65], want[SUM_MAX];
  struct buf text;
  int64_t size;
  enum err e;

  buf_init(&text, BUF_NO_MAX);
  e = stash_read(path, SUM_MAX - 1, &text, why);
  if (!e)
    e = stash_sum(manifest, &size, sha, why);
  if (!e) {
    snprintf(want, sizeof want, "%s  " MANIFEST_NAME "\n", sha);
    if (strcmp(want, buf_str(&text))) {
      buf_addf(why, "%s is not as it was written: its SHA-256 is not the one in " MANIFEST_SUM, manifest);
      e = ERR_CORRUPT;
    }
  }
  buf_free(&text);
  free(path);
  free(manifest);
  return e;
}

static enum err check_file(const char *folder, const struct manifest_file *f, struct buf *why)
{
  char *path = xasprintf("%s/%s", folder, f->name), sha[65];
  int64_t size;
  enum err e = stash_sum(path, &size, sha, why);

  if (!e && size != f->size) {
    buf_addf(why, "%s has %" PRId64 " bytes, %" PRId64 " were written", path, size, f->size);
    e = ERR_CORRUPT;
  } else if (!e && strcmp(sha, f->sha256)) {
    buf_addf(why, "%s is not as it was written: its SHA-256 is another one", path);
    e = ERR_CORRUPT;
  }
  free(path);
  return e;
}

enum err verify_files(const char *folder, struct manifest *m, struct buf *why)
{
  char *path = xasprintf("%s/" MANIFEST_NAME, folder);
  struct buf text;
  enum err e;

  *m = (struct manifest){ 0 };
  buf_init(&text, BUF_NO_MAX);
  e = stash_read(path, MANIFEST_MAX, &text, why);
  if (!e)
    e = check_sum(folder, why);
  if (!e) {
    struct buf part;

    buf_init(&part, BUF_NO_MAX);
    e = manifest_read(m, buf_str(&text), text.len, &part);
    if (e)
      buf_addf(why, "%s: %s", path, buf_str(&part));
    buf_free(&part);
  }
  buf_free(&text);
  free(path);
  for (int i = 0; i < m->nfiles && !e; i++)
    e = check_file(folder, &m->files[i], why);
  return e;
}

int64_t verify_size(const struct manifest *m, const char *prefix)
{
  int64_t n = 0;

  for (int i = 0; i < m->nfiles; i++)
    if (str_starts(m->files[i].name, prefix))
      n += m->files[i].size;
  return n;
}

/* ---- dumps ---- */

struct counter {
  struct map *tables; /* name → its index + 1 */
  int64_t *rows;      /* -1: not met */
  char *stranger;     /* a table that is not in the manifest */
};

static void met(void *arg, const char *name, int64_t rows)
{
  struct counter *c = arg;
  uintptr_t i = (uintptr_t)map_get(c->tables, name);

  if (i)
    c->rows[i - 1] = rows;
  else if (!c->stranger)
    c->stranger = xstrdup(name);
}

/* To the end; false: interrupted. */
static bool read_script(int fd, struct copycount *count)
{
  char *block = xmalloc(BLOCK);
  bool ended = false;

  while (!ended && !client_interrupted()) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    ssize_t n;

    if (poll(&p, 1, LOOK_MS) <= 0)
      continue;
    n = read(fd, block, BLOCK);
    if (n > 0)
      copycount_add(count, block, (size_t)n);
    ended = n == 0 || (n < 0 && errno != EINTR);
  }
  free(block);
  return ended;
}

static enum err count_dump(const char *path, const char *programs, struct counter *c, struct buf *why)
{
  char *program = xasprintf("%s/pg_restore", programs);
  const char *list[] = { program, "-l", NULL }, *data[] = { program, "--data-only", "-f", "-", NULL };
  int in = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), fds[2] = { -1, -1 };
  struct copycount count;
  struct client_job job;
  enum err e = in < 0 || pipe2(fds, O_CLOEXEC) ? ERR_IO : client_run(NULL, list, false, in, -1, why);

  copycount_begin(&count, met, c);
  if (!e && lseek(in, 0, SEEK_SET))
    e = ERR_IO;
  if (!e)
    e = client_start(NULL, data, false, in, fds[1], &job, why);
  close(fds[1]);
  if (!e) {
    (void)read_script(fds[0], &count);
    e = client_wait(&job, why);
  }
  if (!e && !copycount_end(&count)) {
    buf_adds(why, "it ends in the middle of a table");
    e = ERR_CORRUPT;
  }
  close(fds[0]);
  if (in >= 0)
    close(in);
  free(program);
  return e;
}

static enum err compare(const struct manifest *m, const struct counter *c, struct buf *why)
{
  if (c->stranger) {
    buf_addf(why, "the dump has a table %s that was not counted", c->stranger);
    return ERR_CORRUPT;
  }
  for (int i = 0; i < m->ntables; i++)
    if (c->rows[i] != m->tables[i].rows) {
      if (c->rows[i] < 0)
        buf_addf(why, "table %s is not in the dump", m->tables[i].name);
      else
        buf_addf(why, "table %s has %" PRId64 " rows in the dump, %" PRId64 " were counted", m->tables[i].name, c->rows[i], m->tables[i].rows);
      return ERR_CORRUPT;
    }
  return ERR_OK;
}

enum err verify_dumps(const char *folder, const struct manifest *m, const char *programs, struct buf *why)
{
  static const char *const dumps[] = { MANIFEST_DATABASE, MANIFEST_LOGS };
  struct counter c = { map_new(), xcalloc((size_t)m->ntables + 1, sizeof *c.rows), NULL };
  enum err e = ERR_OK;

  for (int i = 0; i < m->ntables; i++) {
    c.rows[i] = -1;
    map_set(c.tables, m->tables[i].name, (void *)((uintptr_t)i + 1));
  }
  for (int i = 0; i < (m->logs ? 2 : 1) && !e; i++) {
    char *path = xasprintf("%s/%s", folder, dumps[i]);
    struct buf part;

    buf_init(&part, BUF_NO_MAX);
    e = count_dump(path, programs, &c, &part);
    if (e)
      buf_addf(why, "%s: %s", path, part.len ? buf_str(&part) : err_text(e));
    buf_free(&part);
    free(path);
  }
  if (!e)
    e = compare(m, &c, why);
  map_free(c.tables);
  free(c.rows);
  free(c.stranger);
  return e;
}

/* ---- the verb ---- */

int verb_verify(const struct verb_args *a)
{
  struct manifest m;
  struct buf why;
  char *programs = NULL, database[24], logs[24];
  enum err e;

  client_interrupts();
  buf_init(&why, BUF_NO_MAX);
  e = verify_files(a->folder, &m, &why);
  if (!e && (e = client_programs(NULL, atoi(m.postgresql), &programs, &why)))
    buf_adds(&why, "; all files are as they were written, but the dumps were not looked into");
  if (!e)
    e = verify_dumps(a->folder, &m, programs, &why);
  if (e)
    verb_error(0, "%s", buf_str(&why));
  else
    printf("%s: drover %s on %s, PostgreSQL %s, schema %d, incarnation %" PRId64 ": database %s, logs %s, %d files, %d tables: all as written\n", a->folder, m.version, m.host,
           m.postgresql, m.schema, m.incarnation, stash_size_text(verify_size(&m, MANIFEST_DATABASE), database),
           m.logs ? stash_size_text(verify_size(&m, MANIFEST_LOGS), logs) : "left out", m.nfiles, m.ntables);
  manifest_free(&m);
  free(programs);
  buf_free(&why);
  return e ? VERB_FAILED : VERB_OK;
}
