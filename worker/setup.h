/* What an installer does to a host: files as a whole or not at all, folders, the user, programs of the system, the unit. Each can be done again. */
#ifndef WORKER_SETUP_H
#define WORKER_SETUP_H
#include <stdbool.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

#define SETUP_NOBODY ((uid_t)-1) /* as an owner: leave it */

/* All of these tell in a line on standard error what went wrong. */

/* The bytes as the file `path`: beside it, fsync, rename. uid, gid: the owner's. */
enum err setup_write(const char *path, const void *p, size_t n, mode_t mode, uid_t uid, gid_t gid) must_check;
/* The same with the contents of another file. */
enum err setup_copy(int from, const char *path, mode_t mode) must_check;
/* A folder and those it is in (0755); its own mode and owner where it is new. */
enum err setup_folder(const char *path, mode_t mode, uid_t uid, gid_t gid) must_check;
/* The state folder: made, or there with this owner, or there and empty. ERR_DENIED: somebody else's. */
enum err setup_state(const char *path, uid_t uid, gid_t gid) must_check;
/* The system user of that name, made where missing. */
enum err setup_user(const char *name, const char *home, uid_t *uid, gid_t *gid) must_check;

bool setup_has_systemd(void);
/* Looked up in the system's own folders, standard input empty; output goes to standard error. Its exit code; -1: not started (told). */
int setup_run(const char *const argv[]);
/* The unit of our package (.pkg/units), for this program, user and state folder. */
void setup_unit(struct buf *out, const char *program, const char *user, const char *dir);
#endif
