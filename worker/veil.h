/* What a minder puts between a command's output and its log: masks, one stream for each channel, and when what they hold back is let go. */
#ifndef WORKER_VEIL_H
#define WORKER_VEIL_H
#include "worker/mask.h"
#include "worker/spec.h"

#define VEIL_CHANNELS 2
#define VEIL_HOLD_MS 2000 /* a form that was begun is held back so long after its last byte */

struct veil {
  struct mask *mask;   /* NULL: nothing is masked */
  struct mask_stream stream[VEIL_CHANNELS];
  int64_t due[VEIL_CHANNELS]; /* INT64_MAX: nothing is held */
  struct buf out;
  struct buf warning;  /* for the log's beginning: what the command takes and can't be masked */
};

/* Values, records as in secrets.h: those of the secrets that s names, and others that an earlier command had. */
void veil_init(struct veil *v, const struct spec *s, const char *blob, size_t n);
/* The same masks for another output; its own streams. */
void veil_share(struct veil *v, const struct veil *from);
/* What is sure by now, of what came before and of these bytes; *out is valid until the next call. */
size_t veil_take(struct veil *v, unsigned channel, const char *p, size_t n, int64_t now, const char **out);
/* What was held. */
size_t veil_flush(struct veil *v, unsigned channel, const char **out);
#endif
