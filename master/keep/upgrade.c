/* drover-master upgrade-db: the private database from one major version of PostgreSQL to another. */
#include "master/keep/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/conf/conf.h"
#include "master/db/pg_upgrade.h"

static enum err upgrade(const struct verb_args *a, const struct conf *conf, struct upgrade *u, struct buf *why)
{
  int64_t from = clock_mono_ms();
  enum err e = upgrade_plan(u, conf->state, conf->database_folder, a->from, a->to, why);

  if (e)
    return e;
  if (!u->to) {
    printf("the database is of PostgreSQL %d, and no newer one is installed: nothing to do\n", u->from);
    return ERR_OK;
  }
  printf("PostgreSQL %d → %d in %s, with the programs of %s and %s\n", u->from, u->to, u->data, u->old_bin, u->new_bin);
  fflush(stdout);
  e = upgrade_run(u, conf->state, a->check, why);
  if (e)
    return e;
  if (a->check) {
    printf("pg_upgrade finds nothing in the way; without --check it is done\n");
    return ERR_OK;
  }
  e = upgrade_settle(conf->state, conf->database_folder, why);
  if (e)
    return e;
  printf("done in %.1f s; the old files are in %s, and share their contents with the new ones: never start them, remove them when all is well\n", (double)(clock_mono_ms() - from) / 1000, u->kept);
  return ERR_OK;
}

int verb_upgrade_db(const struct verb_args *a)
{
  struct upgrade u = { 0 };
  struct conf *conf = verb_conf(a->config, false);
  struct buf why;
  int lock, code;

  if (!conf)
    return VERB_USAGE;
  log_set_level(LOG_WARN);
  if (conf->database) {
    code = verb_error(VERB_USAGE, "`database` in the configuration names a server that is not drover's: upgrade it as its own manual says");
    conf_free(conf);
    return code;
  }
  lock = access(conf->state, F_OK) ? verb_error(-1, "there is no state folder %s", conf->state) : verb_lock_state(conf->state);
  buf_init(&why, BUF_NO_MAX);
  if (lock < 0)
    code = VERB_BUSY;
  else
    code = upgrade(a, conf, &u, &why) ? verb_error(VERB_FAILED, "%s", buf_str(&why)) : VERB_OK;
  buf_free(&why);
  if (lock >= 0)
    close(lock);
  upgrade_free(&u);
  conf_free(conf);
  return code;
}
