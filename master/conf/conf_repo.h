/* Where a repository is, and of what kind: `git`, `svn` or `hg`, one of them, with what an address of that kind may look like. */
#ifndef MASTER_CONF_CONF_REPO_H
#define MASTER_CONF_CONF_REPO_H
#include <stdbool.h>

#include "common/mem.h"
#include "master/conf/vcs.h"

struct diags;
struct yml_node;

/* From the map of a project; name: the node to blame where none of the keys is there. Faults into d. The URL is the caller's to free; NULL: told. */
char *conf_repo_read(const struct yml_node *map, const struct yml_node *name, bool allow_local, enum vcs *vcs, struct diags *d) must_check;
#endif
