/* pg_upgrade, from a cluster that is stopped to a new one beside it.

   Happy path: both versions' programs found, initdb with the old one's page checksums, the site's local.conf, pg_upgrade --link, the folders exchanged, the database told.
   Failures: a version that is not installed, a cluster that runs or was not stopped cleanly (pg_upgrade says so), an upgrade before this one whose old files are still there, no space. Until the
   folders are exchanged the old cluster is the database; the exchange is one step, so that a master never finds none and makes an empty one. */
#include "master/db/pg_upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"
#include "master/db/pg_client_int.h"
#include "master/db/pg_int.h"

enum {
  UPGRADE_MS = 6 * 3600 * 1000, /* with links it is minutes, whatever the size; the catalogue counts */
  WORDS = 1500,                 /* of pg_upgrade's last ones */
  NO_CHECKSUMS = 18,            /* from this major version on initdb makes page checksums unless told not to */
};

/* ---- the plan ---- */

static enum err check_idle(struct upgrade *u, struct buf *why)
{
  struct pg_lock lock;
  struct stat st;

  if (pg_read_lock(u->p, &lock) && pg_proc_is_postgres(lock.pid, u->data) && pg_proc_born(lock.pid)) {
    buf_addf(why, "PostgreSQL runs on %s, pid %d: stop it first (systemctl stop drover-postgresql, or: kill -INT %d)", u->data, (int)lock.pid, (int)lock.pid);
    return ERR_BUSY;
  }
  if (!lstat(u->kept, &st)) {
    buf_addf(why, "%s is there, of an upgrade before: remove it first", u->kept);
    return ERR_EXISTS;
  }
  return ERR_OK;
}

static bool has_upgrade(const char *dir)
{
  char *path = xasprintf("%s/pg_upgrade", dir);
  bool there = !access(path, X_OK);

  free(path);
  return there;
}

static enum err find_both(struct upgrade *u, const char *from_bin, const char *to_bin, struct buf *why)
{
  int newest = 0;

  u->old_bin = from_bin ? xstrdup(from_bin) : pg_find_bindir(u->p, u->from, NULL);
  u->new_bin = to_bin ? xstrdup(to_bin) : pg_find_bindir(u->p, 0, NULL);
  newest = u->new_bin ? pg_bindir_major(u->p, u->new_bin) : 0;
  if (newest < u->from || (newest == u->from && !to_bin)) {
    if (!newest || newest < u->from) {
      buf_addf(why, "the database is of PostgreSQL %d, ", u->from);
      buf_addf(why, newest ? "the newest that is installed is %d: install the one to go to" : "none is installed", newest);
      return ERR_NOTFOUND;
    }
    return ERR_OK; /* to stays 0 */
  }
  if (!u->old_bin || pg_bindir_major(u->p, u->old_bin) != u->from) {
    buf_addf(why, "pg_upgrade needs the programs of PostgreSQL %d too, which made the database: `apt-get install postgresql-%d`, and again. Where %d is not to be had any more: on a host that has it, with a copy of %s,"
                  " `drover-master backup DIR`; here, with that folder moved away, `drover-master restore DIR`", u->from, u->from, u->from, u->p->folder);
    return ERR_NOTFOUND;
  }
  if (!has_upgrade(u->new_bin)) {
    buf_addf(why, "%s has no pg_upgrade: it is in the package postgresql-%d", u->new_bin, newest);
    return ERR_NOTFOUND;
  }
  u->to = newest;
  return ERR_OK;
}

enum err upgrade_plan(struct upgrade *u, const char *state, const char *folder, const char *from_bin, const char *to_bin, struct buf *why)
{
  enum err e;

  *u = (struct upgrade){ 0 };
  u->p = ppg_place(state, folder, why);
  if (!u->p)
    return ERR_NOTFOUND;
  u->data = xstrdup(u->p->data);
  u->from = pg_data_major(u->data);
  if (!u->from) {
    buf_addf(why, "there is no database in %s", u->p->folder);
    return ERR_NOTFOUND;
  }
  u->kept = xasprintf("%s.old-%d", u->data, u->from);
  e = find_both(u, from_bin, to_bin, why);
  if (!e && u->to)
    e = check_idle(u, why);
  return e;
}

void upgrade_free(struct upgrade *u)
{
  if (u->p)
    ppg_place_free(u->p);
  free(u->old_bin);
  free(u->new_bin);
  free(u->data);
  free(u->kept);
  *u = (struct upgrade){ 0 };
}

/* ---- doing it ---- */

static bool has_checksums(const struct upgrade *u)
{
  char *program = xasprintf("%s/pg_controldata", u->old_bin);
  const char *argv[] = { program, "-D", u->data, NULL }, *at;
  struct buf out;
  bool on = false;

  buf_init(&out, PG_OUTPUT_MAX);
  if (!pg_run(&u->p->user, argv, PG_PROGRAM_MS, &out) && (at = strstr(buf_str(&out), "Data page checksum version:")))
    on = atoi(at + strlen("Data page checksum version:")) > 0;
  buf_free(&out);
  free(program);
  return on;
}

static enum err make_fresh(struct upgrade *u, const char *state, const char *fresh, struct buf *why)
{
  const char *flag = has_checksums(u) ? "--data-checksums" : u->to >= NO_CHECKSUMS ? "--no-data-checksums" : NULL;
  char *from = xasprintf("%s/local.conf", u->data), *to = xasprintf("%s/local.conf", fresh);
  const char *copy[] = { "/bin/cp", "-p", "--", from, to, NULL };
  enum err e;

  free(u->p->bindir);
  u->p->bindir = xstrdup(u->new_bin);
  e = pg_make_data(u->p, state, fresh, flag, why);
  if (!e && !access(from, F_OK) && pg_run(&u->p->user, copy, PG_PROGRAM_MS, NULL)) {
    buf_addf(why, "can't copy %s", from);
    e = ERR_IO;
  }
  free(from);
  free(to);
  return e;
}

/* It writes into the folder it is started in. */
static enum err run_program(struct upgrade *u, const char *fresh, bool dry, struct buf *why)
{
  char *program = xasprintf("%s/pg_upgrade", u->new_bin);
  const char *argv[] = { "/bin/sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh", u->p->folder, program, "--link", "-b", u->old_bin, "-B", u->new_bin, "-d", u->data, "-D", fresh, "-U", PG_USER,
    "-s", u->p->sock, dry ? "--check" : NULL, NULL };
  struct buf out;
  enum err e;

  buf_init(&out, PG_OUTPUT_MAX);
  e = pg_run(&u->p->user, argv, UPGRADE_MS, &out);
  if (e) {
    buf_addf(why, "pg_upgrade %s: ", e == ERR_TIMEOUT ? "took too long" : "refused");
    client_tell(why, out.len > WORDS ? out.data + out.len - WORDS : buf_str(&out));
  }
  buf_free(&out);
  free(program);
  return e;
}

struct places {
  const char *data, *fresh, *kept;
};

static int exchange(void *arg)
{
  const struct places *p = arg;
  char *folder = xstrdup(p->data);
  int fd;

  *strrchr(folder, '/') = 0;
  if (renameat2(AT_FDCWD, p->fresh, AT_FDCWD, p->data, RENAME_EXCHANGE)) {
    if (rename(p->data, p->kept) || rename(p->fresh, p->data)) /* a file system that can't: two steps */
      return 1;
  } else if (rename(p->fresh, p->kept)) {
    return 2;
  }
  fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 || fsync(fd);
}

enum err upgrade_run(struct upgrade *u, const char *state, bool dry, struct buf *why)
{
  char *fresh = xasprintf("%s.new", u->data), *script = xasprintf("%s/delete_old_cluster.sh", u->p->folder);
  struct places places = { u->data, fresh, u->kept };
  enum err e = pg_remove_tree(u->p, fresh);

  if (!e)
    e = pg_make_sock(u->p, why);
  if (!e)
    e = make_fresh(u, state, fresh, why);
  if (!e)
    e = run_program(u, fresh, dry, why);
  if (!e && !dry && pg_as(&u->p->user, exchange, &places)) {
    buf_addf(why, "pg_upgrade is through, but %s could not be put in place of %s: do that by hand, and keep the old one", fresh, u->data);
    e = ERR_IO;
  } else if (e || dry) {
    pg_remove_tree(u->p, fresh);
  }
  pg_remove_tree(u->p, script); /* pg_upgrade's own, for names that are no more */
  if (u->p->sock)
    rmdir(u->p->sock);
  free(fresh);
  free(script);
  return e;
}

enum err upgrade_settle(const char *state, const char *folder, struct buf *why)
{
  struct client *c;
  PGresult *r = NULL;
  PGconn *pg = NULL;
  enum err e = client_open(&c, state, folder, NULL, false, why);

  if (e)
    return e;
  pg = client_connect(c, why);
  if (pg)
    r = client_ask(pg, "update cluster set system_id = (select system_identifier::text from pg_control_system())", why);
  if (r) {
    PQclear(PQexec(pg, "analyze"));
    PQclear(r);
  } else {
    e = ERR_FAILED;
  }
  PQfinish(pg);
  client_close(c);
  return e;
}
