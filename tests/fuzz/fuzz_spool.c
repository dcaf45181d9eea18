/* Arbitrary bytes as the files that a worker finds after a crash: of a command (spool.h), of its log (segment.h), of itself (ident, member). What is taken for good is within what the wire can say, and written again it is read
   again as the same. A log that was damaged is cut to a beginning of what was written, and its sums are that beginning's.

   The first byte says which, the second how: of the small files, whether they get the right id and checksum. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/wire.h"
#include "worker/ident.h"
#include "worker/member.h"
#include "worker/segment.h"

enum { TEXT_MAX = 8192, RAW_MAX = 8192, EDITS_MAX = 16, MODE_SEALED = 1 };

#define POOL "p"

static char folder[64];
static struct spool sp = { .cmd = "1-7" };

static void leave(void)
{
  char line[96];

  snprintf(line, sizeof line, "rm -rf %s", folder);
  must(system(line) >= 0);
}

static void begin(void)
{
  if (!*folder) {
    snprintf(folder, sizeof folder, "%s/drover-fuzz.XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    must(mkdtemp(folder) != NULL);
    sp.dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(sp.dir >= 0 && !mkdirat(sp.dir, sp.cmd, 0700));
    atexit(leave);
  }
}

static void put_file(int dir, const char *name, const void *p, size_t n)
{
  int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  must(fd >= 0 && write(fd, p, n) == (ssize_t)n);
  close(fd);
}

static size_t get_file(int dir, const char *name, char out[TEXT_MAX])
{
  int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
  ssize_t n;

  must(fd >= 0);
  n = read(fd, out, TEXT_MAX);
  close(fd);
  must(n >= 0);
  return (size_t)n;
}

static bool word_ok(const char *s) { return wire_is_token(s, strlen(s)); }

/* ---- small files ---- */

static bool result(void)
{
  struct spool_exit x;

  if (spool_read_exit(&sp, &x))
    return false;
  must(word_ok(x.how) && word_ok(x.reason));
  must(x.code >= 0 && x.len >= 0 && x.lines >= 0 && x.wall_ms >= 0 && x.user_ms >= 0 && x.sys_ms >= 0 && x.maxrss_kib >= 0 && x.left_bytes >= 0 && x.left_lines >= 0);
  must(x.nlogs >= 0 && x.nlogs < SPOOL_STREAMS_MAX);
  for (int i = 0; i < x.nlogs; i++)
    must(x.log[i].len >= 0 && x.log[i].lines >= 0 && x.log[i].left_bytes >= 0 && x.log[i].left_lines >= 0);
  must(!spool_write_exit(&sp, &x, false));
  return true;
}

static bool started(void)
{
  struct spool_started w;

  if (spool_read_started(&sp, &w))
    return false;
  must(*w.boot && !spool_write_started(&sp, &w));
  return true;
}

static bool ack(void)
{
  int64_t off = spool_read_ack(&sp);

  must(off >= 0);
  must(!spool_write_ack(&sp, off));
  return true;
}

static bool base(void)
{
  struct spool_base b;

  if (!spool_read_base(&sp, &b))
    return false;
  must(b.off >= 0 && b.lines >= 0);
  must(!spool_write_base(&sp, &b));
  return true;
}

static bool fed(void)
{
  struct spool_fed f;

  if (spool_read_fed(&sp, &f))
    return false;
  must(f.off >= 0 && f.state < FED_STATES);
  must(!spool_write_fed(&sp, &f));
  return true;
}

static bool epoch(void)
{
  struct id id;

  if (!spool_read_epoch(&sp, &id))
    return false;
  must(id.inc >= 0 && id.n >= 0);
  spool_write_epoch(&sp, id);
  return true;
}

static bool secrets(void)
{
  char where[SPOOL_TEXT_MAX];

  return spool_read_secrets(&sp, where, sizeof where) && !spool_write_secrets(&sp, where);
}

static const struct {
  const char *name;
  bool (*take)(void); /* true: read, and written again */
} small[] = { { "result", result }, { "started", started }, { "ack", ack }, { "base", base }, { "fed", fed }, { "epoch", epoch }, { "secrets", secrets } };

/* Whatever it was, what we have made of it we read as what it is. */
static void small_file(int which, bool sealed, const char *p, size_t n)
{
  char first[TEXT_MAX], second[TEXT_MAX], name[SPOOL_NAME_MAX];
  struct buf b;
  size_t len;

  buf_init(&b, BUF_NO_MAX);
  if (sealed)
    buf_addf(&b, "%s ", sp.cmd);
  buf_add(&b, p, n);
  if (sealed)
    buf_addc(&b, '\n');
  if (sealed)
    buf_addf(&b, "%08x\n", (unsigned)chunk_crc(0, b.data, b.len));
  spool_name(&sp, small[which].name, name);
  put_file(sp.dir, name, b.data, b.len);
  buf_free(&b);
  if (!small[which].take())
    return;
  len = get_file(sp.dir, name, first);
  must(small[which].take());
  must(get_file(sp.dir, name, second) == len && !memcmp(first, second, len));
}

static void command(bool sealed, const char *p, size_t n)
{
  char name[SPOOL_NAME_MAX];
  struct spool_cmd c;
  struct buf b;
  int fd;

  buf_init(&b, BUF_NO_MAX);
  if (sealed) { /* the numbers are as they are there, the checksum fits */
    const char *lf = memchr(p, '\n', n);
    size_t head = lf ? (size_t)(lf - p) : n, rest = lf ? n - head - 1 : 0;
    buf_addf(&b, "drover-command 1 %s ", sp.cmd);
    buf_add(&b, p, head);
    buf_addf(&b, " %zu %08x\n", rest, (unsigned)chunk_crc(0, lf ? lf + 1 : p, rest));
    buf_add(&b, lf ? lf + 1 : p, rest);
  } else {
    buf_add(&b, p, n);
  }
  put_file(sp.dir, spool_name(&sp, "cmd", name), buf_str(&b), b.len);
  fd = spool_open(&sp, "cmd", O_RDONLY | O_CLOEXEC);
  must(fd >= 0);
  if (!spool_read_cmd(&sp, fd, &c)) {
    must(c.build >= 0 && c.epoch.inc >= 0 && c.epoch.n >= 0 && c.blob_len <= SPOOL_BLOB_MAX && !c.blob[c.blob_len]);
    must(c.blob_len <= b.len && !memcmp(c.blob, b.data + b.len - c.blob_len, c.blob_len)); /* nothing is behind it that was not there */
  }
  free(c.blob);
  close(fd);
  buf_free(&b);
}

/* ---- who it is ---- */

static void ident(const char *p, size_t n)
{
  struct ident i, again;
  const char *why;

  unlinkat(sp.dir, "high", 0);
  put_file(sp.dir, "ident", p, n);
  if (ident_load(&i, sp.dir, &why)) {
    must(*why);
    return;
  }
  must(strlen(i.instance) == IDENT_INSTANCE_LEN && word_ok(i.instance) && i.conn >= 0 && i.incarnation >= 0 && i.high.inc >= 0 && i.high.n >= 0);
  close(i.high_fd);
  must(!ident_save(&i) && !ident_load(&again, sp.dir, &why));
  close(again.high_fd);
  must(!strcmp(i.instance, again.instance) && i.conn == again.conn && i.incarnation == again.incarnation && !str_id_cmp(i.high, again.high));
}

static void high(const char *p, size_t n)
{
  static const char mine[] = "drover-worker 1\ninstance 0123456789abcdef0123456789abcdef\nconn 1\nincarnation 1\nhigh 1-5\n";
  const char *why;
  struct ident i;

  put_file(sp.dir, "ident", mine, strlen(mine));
  put_file(sp.dir, "high", p, n);
  must(!ident_load(&i, sp.dir, &why));
  must(str_id_cmp(i.high, (struct id){ 1, 5 }) >= 0); /* never back */
  close(i.high_fd);
}

static void member(const char *p, size_t n)
{
  static char pool[] = POOL;
  struct token t = { .pool = true, .name = pool };
  struct member m, again;
  const char *why;

  put_file(sp.dir, "member", p, n);
  if (member_load(&m, sp.dir, &t, &why)) {
    must(*why);
    return;
  }
  must(strlen(m.key) == TOKEN_SECRET_LEN && (!*m.name || str_is_name(m.name, strlen(m.name))));
  must(!member_load(&again, sp.dir, &t, &why) && !strcmp(m.key, again.key) && !strcmp(m.name, again.name));
  if (*m.name)
    must(!member_named(&m, m.name) && !member_load(&again, sp.dir, &t, &why) && !strcmp(m.key, again.key) && !strcmp(m.name, again.name));
}

/* ---- the log ---- */

static void remove_log(void)
{
  int64_t *starts;
  size_t n = segment_list(&sp, &starts);
  char file[SPOOL_WORD_MAX + 24], name[SPOOL_NAME_MAX];

  for (size_t i = 0; i < n; i++) {
    snprintf(file, sizeof file, "log.%lld", (long long)starts[i]);
    unlinkat(sp.dir, spool_name(&sp, file, name), 0);
  }
  free(starts);
  unlinkat(sp.dir, spool_name(&sp, "base", name), 0);
}

/* Chunks of as many bytes as each byte of `sizes` says. */
static int64_t write_log(const uint8_t *sizes, size_t n, char raw[RAW_MAX])
{
  static struct chunk_enc *enc;
  struct segment_writer w;
  struct chunk c;
  size_t at = 0;

  enc = enc ? enc : chunk_enc_new();
  segment_writer_init(&w, &sp);
  for (size_t i = 0; i < n && at < RAW_MAX; i++) {
    size_t len = 1 + sizes[i] * (size_t)4;
    len = len < RAW_MAX - at ? len : RAW_MAX - at;
    must(chunk_enc_add(enc, sizes[i] & 1, (int64_t)i, raw + at, len) == len);
    chunk_enc_close(enc, &c);
    must(!segment_append(&w, &c));
    at += len;
  }
  if (w.fd >= 0)
    close(w.fd);
  free(w.marks);
  buf_free(&w.record);
  return (int64_t)at;
}

/* In a segment that each edit names: a byte becomes another, or the file ends there. */
static void damage(const uint8_t *p, size_t n)
{
  int64_t *starts;
  size_t count = segment_list(&sp, &starts);

  for (size_t i = 0; i + 5 <= n && count && i < EDITS_MAX * 5; i += 5) {
    off_t at = (off_t)p[i + 1] << 8 | p[i + 2];
    char file[SPOOL_WORD_MAX + 24];
    struct stat st;
    int fd;
    snprintf(file, sizeof file, "log.%lld", (long long)starts[p[i] % count]);
    fd = spool_open(&sp, file, O_RDWR | O_CLOEXEC);
    must(fd >= 0 && !fstat(fd, &st));
    if (at < st.st_size && p[i + 3] % 8)
      must(pwrite(fd, p + i + 4, 1, at) == 1);
    else if (at < st.st_size)
      must(!ftruncate(fd, at));
    close(fd);
  }
  free(starts);
}

/* All that readers get, as the agent copies it to its link. */
static void read_all(int64_t end, const char *raw)
{
  static char out[CHUNK_RAW_MAX];
  struct segment_reader r;
  struct buf b;
  int64_t lo, got = 0;
  bool turned;
  enum err e;

  segment_reader_init(&r);
  buf_init(&b, BUF_NO_MAX);
  must(!segment_seek(&sp, &r, 0, &lo) && !lo);
  while (!(e = segment_read(&sp, &r, INT64_MAX, 1, &b, &turned))) {
    for (size_t at = 0; at < b.len;) {
      struct segment_head h;
      must(!segment_parse(b.data + at, b.len - at, &h));
      h.chunk.blob = b.data + at + h.line;
      must(!h.stream && !strcmp(h.cmd, sp.cmd) && h.chunk.off == got && !chunk_check(&h.chunk, out) && !memcmp(out, raw + got, h.chunk.raw));
      got += h.chunk.raw;
      at += h.line + h.chunk.blob_len + 1;
    }
    buf_reset(&b);
  }
  must(e == ERR_AGAIN && got == end && r.off == end);
  segment_reader_close(&r);
  buf_free(&b);
}

static void damaged_log(const uint8_t *p, size_t n)
{
  static char raw[RAW_MAX];
  size_t sizes = n ? p[0] % 24u : 0, written;
  struct segment_writer w;
  bool complete, again;

  if (n < 1 + sizes)
    return;
  for (size_t i = 0; i < RAW_MAX && !raw[0]; i++)
    raw[RAW_MAX - 1 - i] = (char)(i % 13 ? (i * 2654435761u) >> 24 : '\n');
  remove_log();
  written = (size_t)write_log(p + 1, sizes, raw);
  damage(p + 1 + sizes, n - 1 - sizes);
  must(!segment_mend(&sp, true, &w, &complete));
  must(w.off >= 0 && (size_t)w.off <= written && w.crc == chunk_crc(0, raw, (size_t)w.off) && w.lines == chunk_count_lf(raw, (size_t)w.off));
  must(!complete || (size_t)w.off == written || n > 1 + sizes); /* a file that ends with a record may have had more */
  buf_free(&w.record);
  read_all(w.off, raw);
  must(!segment_mend(&sp, true, &w, &again) && again); /* it is a whole one by now */
  buf_free(&w.record);
}

/* A log of any bytes: whatever is kept of it can be read. */
static void any_log(const char *p, size_t n)
{
  struct segment_reader r;
  struct segment_writer w;
  struct segment_head h;
  struct buf b;
  char name[SPOOL_NAME_MAX];
  bool complete, turned;
  int64_t lo;
  enum err e;

  if (!segment_parse(p, n, &h)) {
    must(h.line <= n && h.line <= SEGMENT_LINE_MAX && h.chunk.raw > 0 && h.chunk.raw <= CHUNK_RAW_MAX && h.chunk.blob_len <= CHUNK_BLOB_MAX);
    must(h.chunk.off >= 0 && h.stream >= 0 && h.chunk.lines <= h.chunk.raw && h.chunk.spans <= h.chunk.blob_len);
  }
  remove_log();
  put_file(sp.dir, spool_name(&sp, "log.0", name), p, n);
  must(!segment_mend(&sp, n & 1, &w, &complete) && w.off >= 0 && w.lines >= 0 && w.lines <= w.off);
  buf_free(&w.record);
  segment_reader_init(&r);
  buf_init(&b, BUF_NO_MAX);
  e = segment_seek(&sp, &r, 0, &lo);
  while (!e)
    e = segment_read(&sp, &r, INT64_MAX, 65536, &b, &turned);
  must(r.off <= w.off || !(n & 1));
  segment_reader_close(&r);
  buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  char *text;
  int which = n ? *p % (COUNT(small) + 6) : 0;
  bool sealed = n > 1 && p[1] & MODE_SEALED;

  if (n < 2 || n > TEXT_MAX / 2)
    return 0;
  begin();
  n -= 2;
  text = xmemdup(p + 2, n);
  switch (which - (int)COUNT(small)) {
  case 0: command(sealed, text, n); break;
  case 1: ident(text, n); break;
  case 2: high(text, n); break;
  case 3: member(text, n); break;
  case 4: damaged_log(p + 2, n); break;
  case 5: any_log(text, n); break;
  default: small_file(which, sealed, text, n);
  }
  free(text);
  return 0;
}
