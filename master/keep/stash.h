/* The folder of a backup: made as FOLDER.partial, whole and on the disk before it gets its name; files are read back for their sums.

   Failures: the folder is there and not empty, another backup is being written there, no space (what was written is removed), a file that changed while it was copied is copied as it was read. */
#ifndef MASTER_KEEP_STASH_H
#define MASTER_KEEP_STASH_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct manifest_file;
struct stash;

/* Mode 0700. What an earlier one left at FOLDER.partial is removed, unless its writer lives. */
enum err stash_begin(struct stash **s, const char *folder, struct buf *why) must_check;
const char *stash_path(const struct stash *s);       /* where it is written now */
const char *stash_folder(const struct stash *s);     /* where it will be; absolute */
int stash_create(struct stash *s, const char *name, struct buf *why); /* a new file, 0600, for reading and writing; -1: why tells */
enum err stash_copy(struct stash *s, const char *name, const char *from, struct buf *why) must_check;
enum err stash_put(struct stash *s, const char *name, const char *text, struct buf *why) must_check;
enum err stash_finish(struct stash *s, struct buf *why) must_check; /* everything synced and renamed; frees it where that went well */
void stash_drop(struct stash *s);                    /* removes it; NULL: nothing */

/* Size and SHA-256 of a plain file, no link. ERR_NOTFOUND, ERR_IO: why tells. */
enum err stash_sum(const char *path, int64_t *size, char sha256[65], struct buf *why) must_check;
/* All of a plain file up to max bytes; ERR_TOOBIG. */
enum err stash_read(const char *path, size_t max, struct buf *out, struct buf *why) must_check;
/* "212 MB", "1.9 GB"; out has 24 bytes, and is returned. */
char *stash_size_text(int64_t bytes, char out[24]);
#endif
