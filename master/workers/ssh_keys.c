/* The cluster's ssh keys, as this master knows them. */
#include "master/workers/ssh_keys.h"

#include <stdlib.h>

#include "common/log.h"
#include "master/core/master.h"
#include "master/core/secret_values.h"
#include "master/db/db.h"
#include "master/workers/ssh_key.h"

struct ssh_keys *ssh_keys_new(void)
{
  struct ssh_keys *k = xcalloc(1, sizeof *k);

  k->version = -1;
  return k;
}

static void forget(struct ssh_keys *k)
{
  secret_wipe(k->key);
  secret_wipe(k->old);
  free(k->line);
  free(k->line_old);
}

void ssh_keys_free(struct ssh_keys *k)
{
  if (k)
    forget(k);
  free(k);
}

void ssh_keys_take(struct ssh_keys *k, const struct db_res *res, int stmt, int col, const char *cluster)
{
  forget(k);
  k->key = db_dup(res, stmt, 0, col);
  k->old = db_dup(res, stmt, 0, col + 1);
  k->version = db_num(res, stmt, 0, col + 2);
  k->line = k->key ? ssh_key_line(k->key, cluster) : NULL;
  k->line_old = k->old ? ssh_key_line(k->old, cluster) : NULL;
}

static void got(struct db_res *res, void *arg)
{
  struct master *m = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("worker", "%s", db_errtext(res));
  if (db_err(res) || !db_rows(res, 0) || db_num(res, 0, 0, 2) == m->ssh_keys->version)
    return;
  ssh_keys_take(m->ssh_keys, res, 0, 0, m->cluster);
  log_info("worker", m->ssh_keys->old ? "the ssh key is another one; where it does not let us in, the one before it is taken" : "the ssh key of before the rotation is forgotten");
}

void ssh_keys_beaten(struct master *m, const struct db_res *res, int stmt)
{
  struct db_tx *tx;

  if (db_err(res) || !db_rows(res, stmt) || db_num(res, stmt, 0, 0) == m->ssh_keys->version || m->stopping)
    return;
  tx = db_tx(m->db, DB_ANY);
  db_q(tx, SQL_ssh_keys, "");
  db_send(tx, got, m);
}
