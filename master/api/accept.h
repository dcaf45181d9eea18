/* Request headers in which a client says what it takes and what it has. Pure; header NULL: not sent. */
#ifndef MASTER_API_ACCEPT_H
#define MASTER_API_ACCEPT_H
#include <stdbool.h>

bool accept_gzip(const char *header);                    /* Accept-Encoding: gzip among the codings, and not with q=0 */
bool accept_html(const char *header);                    /* Accept: somebody who looks at pages */
bool accept_has(const char *header, const char *etag);   /* If-None-Match: etag (in its quotes) among them, weak or strong, or * */
#endif
