/* Masks of one command. */
#include "worker/veil.h"

#include <string.h>

#include "proto/records.h"

static bool is_named(const struct spec *s, const char *name, size_t n)
{
  for (size_t i = 0; i < s->nsecrets; i++)
    if (strlen(s->secret[i].name) == n && !memcmp(s->secret[i].name, name, n))
      return true;
  return false;
}

void veil_init(struct veil *v, const struct spec *s, const char *blob, size_t n)
{
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;

  buf_init(&v->warning, BUF_NO_MAX);
  v->mask = mask_new();
  while (records_next(blob, n, &at, key, &value) == ERR_OK) {
    const char *bytes = strchr(value, '=') + 1;
    if (!mask_add_secret(v->mask, bytes, strlen(bytes)) && is_named(s, value, (size_t)(bytes - value - 1)))
      buf_addf(&v->warning, "drover: the secret %.*s is shorter than %d bytes, too short to be masked\n", (int)(bytes - value - 1), value, MASK_LEAST);
  }
  mask_ready(v->mask);
  veil_share(v, v);
}

void veil_share(struct veil *v, const struct veil *from)
{
  buf_init(&v->out, BUF_NO_MAX);
  v->mask = from->mask;
  for (int i = 0; i < VEIL_CHANNELS; i++) {
    if (v->mask)
      mask_stream_init(&v->stream[i], v->mask);
    v->due[i] = INT64_MAX;
  }
}

size_t veil_take(struct veil *v, unsigned channel, const char *p, size_t n, int64_t now, const char **out)
{
  buf_reset(&v->out);
  mask_feed(v->mask, &v->stream[channel], p, n, &v->out);
  v->due[channel] = v->stream[channel].held ? now + VEIL_HOLD_MS : INT64_MAX;
  *out = buf_str(&v->out);
  return v->out.len;
}

size_t veil_flush(struct veil *v, unsigned channel, const char **out)
{
  buf_reset(&v->out);
  if (v->mask)
    mask_flush(&v->stream[channel], &v->out);
  v->due[channel] = INT64_MAX;
  *out = buf_str(&v->out);
  return v->out.len;
}
