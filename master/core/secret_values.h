/* From the names of secrets to their values, at the last moment: of those in files the file is read, of those in the store a row is decrypted. */
#ifndef MASTER_CORE_SECRET_VALUES_H
#define MASTER_CORE_SECRET_VALUES_H
#include "common/buf.h"
#include "common/mem.h"
#include "master/conf/conf.h"

struct db_res;

/* Rows of secrets_named: kept, encrypted, until they are needed. */
struct secret_rows *secret_rows_take(struct db_res *res, int stmt) must_check;
void secret_rows_free(struct secret_rows *s); /* NULL: nothing */

/* The value of a secret of the site; rows may be NULL where it is in a file. The caller wipes and frees it. NULL: why, a sentence. */
char *secret_of_site(const struct conf *c, const struct secret_rows *rows, const char *name, struct buf *why) must_check;
/* What a login needs beside what the configuration has read of it: its key, or its token or password. The caller wipes and frees it. NULL: why, a sentence. */
char *login_value(const struct conf *c, const struct secret_rows *rows, const struct conf_login *l, struct buf *why) must_check;
/* The secret in the store that a login names, as text[] for secrets_named; NULL: none. The caller frees it. */
char *login_stored(const struct conf *c, const struct conf_login *l) must_check;
void secret_wipe(char *value); /* and frees it; NULL: nothing */
#endif
