/* For tests of what a worker keeps: a folder of one command in a spool of its own. */
#ifndef TESTS_LIB_SPOOLFIX_H
#define TESTS_LIB_SPOOLFIX_H
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/spool.h"

static char spoolfix_folder[64];

static inline void spoolfix_open(struct spool *sp)
{
  snprintf(spoolfix_folder, sizeof spoolfix_folder, "/tmp/drover-spool.XXXXXX");
  assert_non_null(mkdtemp(spoolfix_folder));
  sp->dir = open(spoolfix_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  sp->stream = 0;
  assert_true(sp->dir >= 0 && !mkdirat(sp->dir, sp->cmd, 0700));
}

/* 0: all of it is gone. */
static inline int spoolfix_close(struct spool *sp)
{
  char command[96];

  close(sp->dir);
  snprintf(command, sizeof command, "rm -rf %s", spoolfix_folder);
  return system(command);
}
#endif
