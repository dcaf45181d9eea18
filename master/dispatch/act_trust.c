/* drover worker trust: a person has compared the fingerprint of a host that the master dials, and says that it is the right one. Nothing else ever makes a host trusted but the configuration. */
#include <string.h>

#include "common/log.h"
#include "master/conf/conf.h"
#include "master/conf/conf_login.h"
#include "master/conf/conf_ssh.h"
#include "master/core/master.h"
#include "master/dispatch/actions_int.h"
#include "master/events/events.h"
#include "master/workers/dial.h"

static void trusted(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  const char *what;
  cJSON *json;

  if (acting_db_failed(a, res))
    return;
  what = db_str(res, 0, 0, 0);
  if (*what == 'u') {
    acting_fail(a, 404, "not_found", "drover worker list shows them all", "there is no worker %.100s", a->id);
    return;
  }
  if (*what == 'r' || *what == 'n') {
    acting_fail(a, 409, "conflict", "`ssh` of a worker in the configuration says where it is", "worker %.100s %s", a->id, *what == 'r' ? "was removed" : "is not one that the master dials by ssh");
    return;
  }
  events_kick(a->m->events);
  log_info("worker", "%s: the host key %s is trusted, says %s", a->id, a->text, a->who);
  dials_again(a->m->dials, a->id);
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "worker", a->id);
  cJSON_AddStringToObject(json, "host_key", a->text);
  acting_done(a, 200, json);
}

void act_worker_trust(struct acting *a, const cJSON *args)
{
  const struct conf_worker *w = conf_worker_of(a->m->conf, a->id, NULL);
  const char *mark = act_string(args, "host_key");
  struct db_tx *tx;

  if (!mark || !conf_is_host_key(mark)) {
    acting_fail(a, 400, "bad_request", "on the host: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", "host_key is a fingerprint: SHA256: and 43 letters");
    return;
  }
  if (w && w->ssh && w->ssh->npins) {
    acting_fail(a, 409, "conflict", "change it there, and reload", "which host key worker %.100s has is said in the configuration (host_key)", a->id);
    return;
  }
  a->text = xstrdup(mark);
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_dial_trust, "sss", a->id, mark, a->who);
  db_send(tx, trusted, a);
}
