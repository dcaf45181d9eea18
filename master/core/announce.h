/* What the service manager is told (common/notify.h): READY once the master answers, STATUS whenever it changes, RELOADING and STOPPING. */
#ifndef MASTER_CORE_ANNOUNCE_H
#define MASTER_CORE_ANNOUNCE_H

struct master;

/* A step of the start, before anything answers; the manager gives more time for each. */
void announce_starting(const char *what);
/* The API answers, with the database (m->db_why NULL) or without. */
void announce_state(const struct master *m);
/* Around a reload, whether it is refused or not. */
void announce_reloading(void);
void announce_reloaded(const struct master *m);
void announce_stopping(const char *why);
#endif
