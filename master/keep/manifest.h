/* What a backup holds: manifest.json. Pure. Read as foreign bytes: names stay below the backup's folder, numbers are within their limits. */
#ifndef MASTER_KEEP_MANIFEST_H
#define MASTER_KEEP_MANIFEST_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define MANIFEST_FORMAT 1          /* raised when an older program could not put a newer backup back */
#define MANIFEST_NAME "manifest.json"
#define MANIFEST_SUM "manifest.sha256"
#define MANIFEST_DATABASE "database.dump"
#define MANIFEST_LOGS "logs.dump"
enum {
  MANIFEST_MAX = 8 << 20,          /* bytes: a thousand files of configuration and years of partitions */
  MANIFEST_FILES_MAX = 4000,
  MANIFEST_TABLES_MAX = 50000,
};

struct manifest_file {
  char *name;                      /* in the backup's folder, with / */
  char *path;                      /* where it came from; NULL: made for the backup */
  int mode;
  int64_t size;
  char sha256[65];
};
struct manifest_table {
  char *name;
  int64_t rows;
};
struct manifest {
  char *version;                   /* drover's */
  char *cluster;
  char *postgresql;                /* the server's, "15.20" */
  char *host, *config_file;        /* --config of then */
  int schema;
  int64_t incarnation, config, made_ms;
  bool logs, link_key;
  struct manifest_file *files;
  int nfiles;
  struct manifest_table *tables;
  int ntables;
};

struct manifest_file *manifest_add(struct manifest *m, const char *name, const char *path, int mode); /* valid until the next one is added */
const struct manifest_file *manifest_file(const struct manifest *m, const char *name); /* NULL: not in it */
char *manifest_write(const struct manifest *m) must_check;
/* ERR_SYNTAX, ERR_UNKNOWN (a newer format), ERR_BADARG: why tells. m is to be freed in any case. */
enum err manifest_read(struct manifest *m, const char *text, size_t n, struct buf *why) must_check;
void manifest_free(struct manifest *m);
/* A name that stays below the folder. */
bool manifest_name_ok(const char *name);
#endif
