/* The page: files of master/web, packed into the program by web_pack.py, or (--web-dir, development) read from a folder at each request.

   An address of a page (rows P of routes.def) answers index.html, whatever the page is about: the browser's part finds the rest in the API. Files are at
   assets/VERSION/NAME, where VERSION is the hash of all of them, so that they may be kept for ever; another VERSION is not found. */
#ifndef MASTER_API_WEB_H
#define MASTER_API_WEB_H
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

#define WEB_DEPTHS 5             /* segments of a page's address, less one; each has its own index.html, with references that lead up from there */
#define WEB_FILE_MAX (1u << 20)  /* of a file of --web-dir */

struct web_file {
  const char *name, *type, *hash; /* hash: of the contents */
  const unsigned char *gz;
  size_t gz_len, raw_len;
};
extern const char web_version[];
extern const struct web_file web_assets[], web_pages[WEB_DEPTHS];
extern const size_t web_assets_count;

/* By the ending of the name; NULL: nothing that is served. */
const char *web_type(const char *name);

/* web_dir.c: a file of the folder dir, never one outside of it or behind a link, nor a hidden one. ERR_NOTFOUND, ERR_TOOBIG, ERR_IO. */
int web_dir_open(const char *path) must_check; /* -1: errno says why */
enum err web_dir_read(int dir, const char *name, struct buf *out) must_check;
#endif
