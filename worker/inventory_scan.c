/* What an earlier agent has left in the spool. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/command.h"
#include "worker/inventory.h"

void inventory_scan(struct agent *a)
{
  DIR *d = fdopendir(openat(a->spool, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct dirent *e;
  struct id id;

  if (!d) {
    log_error("inventory", "the spool can't be read");
    return;
  }
  spool_remove_free(a->spool);
  while ((e = readdir(d))) {
    if (*e->d_name == '.')
      continue;
    if (str_id(e->d_name, strlen(e->d_name), &id)) {
      log_warn("inventory", "spool/%s is none of ours: left alone", e->d_name);
      continue;
    }
    if (str_id_cmp(id, a->ident.high) > 0)
      ident_note(&a->ident, id);
    command_adopt(a, id);
  }
  closedir(d);
  if (a->ncommands)
    log_info("inventory", "%d commands in the spool, %d of them live", a->ncommands, a->nlive);
}
