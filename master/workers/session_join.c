/* The first contact of an instance with a pool's token: one transaction makes it a member, with the key that it brings and a name that the master gives (pool_join() in db/schema_0034.sql). From then on
   it greets by that name and key, as any worker does by its token's.

   Failures: no such pool, another token, no room, a copied state folder: refused with a sentence, and the worker comes again. An answer that is lost, with this master or the link: the same key is
   given the same name. */
#include "master/workers/session_int.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/events/events.h"
#include "proto/records.h"
#include "proto/token.h"

enum { KEY_LEAST = 32 /* characters */ };

static bool key_good(const char *key)
{
  size_t n = key ? strlen(key) : 0;

  return n >= KEY_LEAST && n <= SESSION_KEY_MAX && strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

static void refuse(struct session *s, const char *what, const char *called, int64_t most)
{
  const char *pool = s->pool;

  if (!strcmp(what, "unknown"))
    session_refuse(s, "name", "there is no pool %s here", pool);
  else if (!strcmp(what, "gone"))
    session_refuse(s, "name", "the pool %s is not in the configuration any more, and takes in nobody", pool);
  else if (!strcmp(what, "secret"))
    session_refuse(s, "secret", "this is not the token of the pool %s (drover pool token %s makes a new one)", pool, pool);
  else if (!strcmp(what, "full"))
    session_refuse(s, "full", "the pool %s has its %d members (max): there is room when one of them is gone, or forgotten", pool, (int)most);
  else if (!strcmp(what, "removed"))
    session_refuse(s, "name", "%s was removed from the pool %s by a person; without its state folder this host may join anew", called, pool);
  else
    session_refuse(s, "clone", "the state folder is that of %s, of another machine or with another key: it was copied; remove it here, and this host joins the pool %s as itself", called, pool);
}

static void joined(struct db_res *res, void *arg)
{
  struct session *s = arg;
  const char *what, *called;

  s->in_tx = false;
  if (s->sm.state == SESSION_CLOSED) {
    session_maybe_free(s);
    return;
  }
  if (db_err(res)) {
    if (db_err(res) == ERR_FAILED)
      log_error("worker", "%s: %s", s->pool, db_errtext(res));
    session_busy(s);
    return;
  }
  what = db_str(res, 0, 0, 0);
  called = db_str(res, 0, 0, 2);
  if (strcmp(what, "joined") && strcmp(what, "back")) {
    refuse(s, what, called, db_num(res, 0, 0, 3));
    return;
  }
  free(s->name);
  s->name = xstrdup(called);
  log_info("worker", "%s: %s the pool %s from=%s", s->name, strcmp(what, "back") ? "joins" : "is back, and has not heard its name, of", s->pool, s->peer);
  events_kick(s->m->events);
  wire_put(link_out(s->link), VERB_member, "s", s->name);
  session_is(s, res, 0, 4);
  session_meet(s, db_num(res, 0, 0, 1));
}

bool session_join(struct session *s, const char *key)
{
  unsigned char token[SHA256_DIGEST_LENGTH], own[SHA256_DIGEST_LENGTH];
  struct db_tx *tx;

  s->pool = xstrdup(s->name + strlen(TOKEN_POOL));
  if (!str_is_name(s->pool, strlen(s->pool)) || !key_good(key))
    return false;
  if (session_same_user(s))
    return true;
  s->in_tx = true;
  tx = db_tx(s->m->db, DB_ANY);
  SHA256((const unsigned char *)s->secret, strlen(s->secret), token);
  SHA256((const unsigned char *)key, strlen(key), own);
  mem_wipe(s->secret, strlen(s->secret));
  db_q(tx, SQL_pool_join, "sbsbs", s->pool, token, sizeof token, s->instance, own, sizeof own, s->machine);
  db_send(tx, joined, s);
  return true;
}
