/* The one context that everything in the master is handed. */
#ifndef MASTER_CORE_MASTER_H
#define MASTER_CORE_MASTER_H
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/map.h"

struct conf;
struct db;
struct ppg;
struct gith;
struct link_server;
struct events;
struct hints;
struct watches;
struct sessions;
struct questions;
struct works;
struct dials;
struct envelope_key;
struct ssh_keys;
struct dispatch;
struct reasons;
struct waits;
struct worlds;
struct api;
struct reload;

struct master {
  uv_loop_t *loop;
  struct conf *conf;           /* the active one; a reload puts another in its place between two turns of the loop: hold it (conf.h) or look again */
  int64_t config_version;      /* id of its row */
  struct db *db;
  struct ppg *ppg;             /* NULL with a given database */
  char *db_why;                /* why the database is away; NULL while it is up */
  int64_t id;                  /* of this master's row; 0 before the database was first up */
  char *cluster;               /* uuid */
  int64_t incarnation;
  int64_t started_ms;          /* clock_mono_ms */
  char pin[65];                /* of the worker-link key, hex */
  struct ssh_keys *ssh_keys;   /* by which hosts of workers are logged in to */
  struct envelope_key *envelopes; /* what other masters tell this one by the database and nobody else may read */
  int api_port, workers_port;  /* as listened on; 0: not */
  struct gith *gith;
  struct link_server *links;
  struct events *events;
  struct hints *hints;         /* to and from other masters */
  struct watches *watches;
  struct sessions *sessions;
  struct questions *questions;           /* questions to workers, of this master's people and of other masters */
  struct dials *dials;         /* workers that are reached by ssh */
  struct works *works;         /* work folders */
  struct dispatch *dispatch;
  struct reasons *reasons;
  struct waits *waits;         /* builds that wait for those they triggered */
  struct worlds *worlds;       /* changes and schedulers */
  struct api *api;
  struct reload *reload;
  const char *web_dir;         /* --web-dir, or NULL */
  bool stopping;
};

/* A heartbeat as soon as may be, and not only every few seconds: something is to be told to, or to be learned from, the other masters. */
void master_beat_soon(struct master *m);
/* Begin an orderly end, as on SIGTERM. From any handler. */
void master_stop(struct master *m, const char *why);
#endif
