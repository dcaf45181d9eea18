/* The worker programs that this installation hands out: to people by /download/, to workers that are upgraded. */
#ifndef MASTER_WORKERS_OFFER_H
#define MASTER_WORKERS_OFFER_H
#include <stdbool.h>
#include <sys/stat.h>

#include "common/mem.h"

#define OFFER_SIZE_MAX (8 << 20)
#define OFFER_NAMES_MAX 64 /* of a folder are offered */
#define OFFER_NAME_MAX 48  /* of OS-ARCH */
#define OFFER_SUM_LEN 64
#define OFFER_VERSION_MAX 32

struct master;

/* A file that was hashed: the same inode with the same size and time is not read again. */
struct offer {
  char name[OFFER_NAME_MAX + 1]; /* OS-ARCH, as uname spells them, in lower case: "linux-x86_64" */
  char sha256[OFFER_SUM_LEN + 1];
  char version[OFFER_VERSION_MAX]; /* what the program calls itself; "": it does not say */
  struct stat st;
};

/* What a host of that kind runs, in uname's words. False: no program has such a name. */
bool offer_kind(const char *os, const char *arch, char out[OFFER_NAME_MAX + 1]);
/* The names that there are, sorted; returns how many. */
int offer_names(const struct master *m, char names[OFFER_NAMES_MAX][OFFER_NAME_MAX + 1]);
/* The file, open as *fd, which is the caller's; NULL and -1: there is no such one. Valid until the next call. */
const struct offer *offer_open(const struct master *m, const char *name, int *fd);
/* All its bytes, the caller's to free, that have the offer's checksum; NULL: there is no such one. */
char *offer_read(const struct master *m, const char *name, const struct offer **of) must_check;
/* Versions by their numbers: 0.9 comes before 0.10. Below 0, 0, above 0. Pure. */
int offer_compare(const char *a, const char *b);
#endif
