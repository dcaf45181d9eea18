/* What answers: one function a row of routes.def. Each is called once, with everything about the request checked that does not need the database, and answers then or later. */
#ifndef MASTER_API_HANDLERS_H
#define MASTER_API_HANDLERS_H
#include "master/api/http.h"
#include "master/api/json.h"
#include "master/dispatch/eta.h"
#include "master/dispatch/why.h"

/* read_status.c */
void read_status(struct call *c);

/* read_workers.c */
void read_workers(struct call *c);
void read_worker(struct call *c);
/* Rows of API_WORKER, with `window` and `state`. */
cJSON *worker_row(const struct db_res *r, int stmt, int row) must_check;
cJSON *worker_rows(const struct db_res *r, int stmt) must_check;

/* read_agent.c */
void read_agent_log(struct call *c);

/* read_doctor.c */
void read_doctor(struct call *c);

/* read_build.c */
void read_builders(struct call *c);
void read_broken(struct call *c);
void read_builds(struct call *c);
void read_build(struct call *c);

/* read_request.c */
void read_requests(struct call *c);
void read_request(struct call *c);
void read_buildset(struct call *c);
void read_patch(struct call *c);
void read_pauses(struct call *c);
void read_locks(struct call *c);
void read_pools(struct call *c);
void read_pool(struct call *c);
void read_changes(struct call *c);
void read_change(struct call *c);

/* read_queue.c */
void read_queue(struct call *c);
/* Whether a begin can be reckoned where it waits for that (master/dispatch/why.h). */
bool eta_tells(const char *kind) must_check;
/* When the last row of api_before begins, with the answers of eta_now_ask (both: statements of r). False: can't be told. */
bool eta_of(struct call *c, const struct db_res *r, int before, int runs, struct eta_begin *out) must_check;
/* "eta": {low, likely, high}, or null. */
void eta_json(cJSON *o, const struct eta_begin *begin);

/* read_sched.c */
void read_schedulers(struct call *c);
void read_scheduler(struct call *c);

/* read_config.c */
void read_projects(struct call *c);
void read_config(struct call *c);
void read_config_history(struct call *c);
void read_config_diff(struct call *c);

/* read_secrets.c */
void read_secrets(struct call *c);
struct conf_secret;
struct site_keys;
/* Why a step would not get a secret; NULL: it would, or nobody knows. r: the answer of api_secrets, statement stmt of it; or NULL, with the database away. no_keys: why keys has none. */
char *secret_trouble(const struct conf_secret *s, const struct site_keys *keys, const char *no_keys, const struct db_res *r, int stmt) must_check;
/* read_explain.c */
void read_explain(struct call *c);
/* download.c */
void download_list(struct call *c);
void download_get(struct call *c);
/* web.c */
void web_page(struct call *c);
void web_asset(struct call *c);

/* read_why.c, logs_get.c, sse.c, act.c */
void read_why(struct call *c);
void logs_get(struct call *c);
void sse_get(struct call *c);
void act_call(struct call *c);
/* hook.c; hook_head: with the head alone, may answer. */
void hook_head(struct call *c);
void hook_post(struct call *c);

/* What several of them share (read.c): columns of the selects of sql_api.def, and what is said about lists and ids. */
enum { LIST_DEFAULT = 50, LIST_MAX = 1000 };
struct page {
  int64_t before; /* INT64_MIN: from the newest */
  int64_t limit;
};
bool page_get(struct call *c, struct page *p) must_check;              /* false: answered */
/* {"items": rows, "next": number in the last column of the last row, null where there can be no more} */
void page_json(struct call *c, const struct db_res *r, int stmt, const struct json_col *cols, int n, const struct page *p);
void page_items(struct call *c, const struct db_res *r, int stmt, cJSON *items, int n, const struct page *p); /* the same, with rows made already; takes items */
/* Requests, those that wait with `waits`: {kind, text, object}, why (as GET /requests/{id}/why, without where it came from). */
cJSON *request_rows(struct call *c, const struct db_res *r, int stmt) must_check;
/* "r118" or "118"; false: answered with not_found. */
bool id_get(struct call *c, const char *text, char letter, int64_t *id) must_check;
/* A number, or "last": INT64_MIN. */
bool build_number(struct call *c, const char *text, int64_t *number) must_check;
/* "project/name"; false: answered. Fills copies that the caller frees. */
bool builder_get(struct call *c, const char *text, char **project, char **name) must_check;

extern const struct json_col build_cols[], request_cols[], buildset_cols[], change_cols[], worker_cols[], folder_cols[];
enum { BUILD_COLS = 22, REQUEST_COLS = 23, BUILDSET_COLS = 17, CHANGE_COLS = 26, WORKER_COLS = 23, FOLDER_COLS = 15 };
#endif
