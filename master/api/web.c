/* The page and its files as answers: type, ETag, gzip as it was packed or inflated, and the headers that keep a browser from doing anything else. */
#include "master/api/web.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/str.h"
#include "master/api/accept.h"
#include "master/api/handlers.h"
#include "master/api/routes.h"

static const struct {
  const char *ending, *type;
} types[] = {
#define T(ending, type) { ending, type },
#include "master/api/web_types.def"
#undef T
};

/* Scripts and styles are files of ours, the rest is not there at all: no inline anything, no eval, no frames, no other host. Text never becomes markup (trusted types: the one policy
   is for the address of the shared worker). */
#define CSP "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; font-src 'none'; base-uri 'none'; form-action 'none'; " \
  "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types drover-worker"

const char *web_type(const char *name)
{
  const char *dot = strrchr(name, '.');

  for (size_t i = 0; dot && i < COUNT(types); i++)
    if (!strcmp(dot + 1, types[i].ending))
      return types[i].type;
  return NULL;
}

static void guard(struct call *c)
{
  call_header_set(c, "Content-Security-Policy", CSP);
  call_header_set(c, "Referrer-Policy", "no-referrer");
  call_header_set(c, "Cross-Origin-Opener-Policy", "same-origin");
  call_header_set(c, "Cross-Origin-Resource-Policy", "same-origin");
  call_header_set(c, "Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
}

/* ---- packed files ---- */

static void send_inflated(struct call *c, int status, const struct web_file *f)
{
  z_stream z = { .next_in = (Bytef *)(uintptr_t)f->gz, .avail_in = (uInt)f->gz_len };
  char *raw = xmalloc(f->raw_len + 1);
  int rc;

  z.next_out = (Bytef *)raw;
  z.avail_out = (uInt)f->raw_len + 1;
  if (inflateInit2(&z, 15 + 16) != Z_OK)
    abort();
  rc = inflate(&z, Z_FINISH);
  inflateEnd(&z);
  assert(rc == Z_STREAM_END && z.total_out == f->raw_len); /* we packed it ourselves */
  call_bytes(c, status, f->type, raw, f->raw_len);
  free(raw);
}

static void send_file(struct call *c, int status, const struct web_file *f, const char *keep)
{
  bool gzip = accept_gzip(call_header(c, "Accept-Encoding"));
  char *etag = xasprintf("\"%s%s\"", f->hash, gzip ? "-gz" : ""); /* strong: of these very bytes */

  guard(c);
  call_header_set(c, "Cache-Control", keep);
  call_header_set(c, "Vary", "Accept-Encoding");
  call_header_set(c, "ETag", etag);
  if (status == 200 && accept_has(call_header(c, "If-None-Match"), etag)) {
    call_bytes(c, 304, f->type, "", 0);
  } else if (gzip) {
    call_header_set(c, "Content-Encoding", "gzip");
    call_bytes(c, status, f->type, f->gz, f->gz_len);
  } else {
    send_inflated(c, status, f);
  }
  free(etag);
}

/* ---- files of --web-dir ---- */

static void replace(struct buf *text, const char *what, const char *with)
{
  struct buf out;
  const char *at = buf_str(text), *found;

  buf_init(&out, BUF_NO_MAX);
  for (; (found = strstr(at, what)); at = found + strlen(what)) {
    buf_add(&out, at, (size_t)(found - at));
    buf_adds(&out, with);
  }
  buf_adds(&out, at);
  buf_free(text);
  *text = out;
}

/* As web_pack.py does it. */
static void fill_in(struct buf *page, int depth)
{
  char root[3 * WEB_DEPTHS + 1] = "";

  for (int i = 0; i < depth; i++)
    strcat(root, "../");
  replace(page, "{root}", root);
  replace(page, "{version}", "dev");
}

static void send_from_dir(struct call *c, int status, const char *name, int depth)
{
  struct buf data;
  enum err e;

  buf_init(&data, 2 * WEB_FILE_MAX);
  e = web_dir_read(call_web_dir(c), name, &data);
  if (e) {
    call_error(c, e == ERR_NOTFOUND ? 404 : 500, e == ERR_NOTFOUND ? "not_found" : "internal", NULL, "%s can't be read from --web-dir: %s", name, err_text(e));
  } else {
    if (depth >= 0)
      fill_in(&data, depth);
    guard(c);
    call_bytes(c, status, web_type(name), buf_str(&data), data.len);
  }
  buf_free(&data);
}

/* ---- the handlers ---- */

void web_page(struct call *c)
{
  int depth = call_segments(c) > 1 ? call_segments(c) - 1 : 0, status = call_route(c) == route_unknown_page() ? 404 : 200;

  assert(depth < WEB_DEPTHS);
  if (call_web_dir(c) >= 0)
    send_from_dir(c, status, "index.html", depth);
  else
    send_file(c, status, &web_pages[depth], "no-cache");
}

void web_asset(struct call *c)
{
  const char *version = call_arg(c, 0), *name = call_arg(c, 1);

  if (call_web_dir(c) >= 0) {
    send_from_dir(c, 200, name, -1);
    return;
  }
  for (size_t i = 0; i < web_assets_count && !strcmp(version, web_version); i++)
    if (!strcmp(web_assets[i].name, name)) {
      send_file(c, 200, &web_assets[i], "public, max-age=31536000, immutable");
      return;
    }
  call_error(c, 404, "not_found", "load the page again: its files change their address with each version", "there is no such file of the page");
}
