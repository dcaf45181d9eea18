/* Where a command's secrets go: variables, or files in a folder of their own, 0700, outside of the work folder and in memory (a tmpfs) where the host has one, else in the spool. The folder's
   name is in the spool (spool.h, `secrets`) before the folder is, so that whoever settles the command finds and removes it, whatever ended its minder. */
#ifndef WORKER_SECRET_FILES_H
#define WORKER_SECRET_FILES_H
#include "worker/spec.h"
#include "worker/spool.h"

/* Each secret that s names, of values (records as in secrets.h, n bytes), into s's environment, as it is or as the path of a file. spool: the spool's absolute path. uid: whose the files are, 0: the worker's own. 0, or errno with *what
   naming the secret; files that were made are there then too. */
int secrets_place(struct spec *s, const struct spool *sp, const char *spool, uid_t uid, const char *values, size_t n, const char **what) must_check;
/* Removes what the spool names; nothing there is fine. */
void secret_files_remove(const struct spool *sp);
#endif
