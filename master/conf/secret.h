/* A secret that the site keeps in a file. */
#ifndef MASTER_CONF_SECRET_H
#define MASTER_CONF_SECRET_H
#include <stdbool.h>

#include "common/buf.h"

#define SECRET_LEAST 16   /* bytes */
#define SECRET_PASSWORD_LEAST 6 /* what is shorter can't be masked */
#define SECRET_MAX 1024
#define SECRET_VALUE_MAX 16384 /* bytes of what steps take */
#define SECRET_KEY_MAX 16384

/* The one line in the file, without its end; wipe and free it. NULL: why it is none, as a sentence, and in *help what to do (NULL: nothing to be said). A file that others
   could read or change is none. */
char *secret_read(const char *path, struct buf *why, const char **help) must_check;
/* The same for a password that somebody else has made: SECRET_PASSWORD_LEAST bytes will do. */
char *secret_read_password(const char *path, struct buf *why, const char **help) must_check;
/* Whether a value is such a line, least bytes long; a line feed at its end is taken off. what: as for secret_fits. */
bool secret_is_line(char *value, size_t least, const char *what, struct buf *why) must_check;
/* Whether it is a private key that needs no passphrase. */
bool secret_is_key(const char *value, const char *what, struct buf *why, const char **help) must_check;
/* All bytes of the file of a secret that steps take: any number of lines, no NUL, not empty; ends in NUL. NULL as above. */
char *secret_value(const char *path, struct buf *why, const char **help) must_check;
/* Whether n bytes can be such a value; else why not. what: whose they are, for the sentence. */
bool secret_fits(const char *bytes, size_t n, const char *what, struct buf *why) must_check;
/* The same for a private key of ssh, in OpenSSH's form or in PEM: the whole file. One with a passphrase is none, nobody would type it. */
char *secret_read_key(const char *path, struct buf *why, const char **help) must_check;
#endif
