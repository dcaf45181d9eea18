/* Between the files of `drover config`. */
#ifndef MASTER_CLI_CMD_CONFIG_H
#define MASTER_CLI_CMD_CONFIG_H
#include <stdbool.h>

#define CONFIG_SITE "/etc/drover/master.yaml" /* where `config check --site` is told no file */

struct cli;
struct diags;
struct pipeline;

/* A file's text, PIPELINE_TEXT_MAX at most; "-": standard input. NULL: told. The caller frees it. */
char *config_read_text(struct cli *c, const char *file);
/* A pipeline from a file, or "-": standard input. project: NULL: the folder's name. NULL: told. */
struct pipeline *config_read_pipeline(struct cli *c, const char *file, const char *project);
/* The master.yaml that a file of the site belongs to; NULL: it is none of the site's. sure: any file is. The caller frees it. */
char *config_site_of(const char *file, bool sure);
void config_print_diags(const struct diags *d);
/* Diagnostics, made harmless, on standard error. */
void config_print_safe(const char *text);
#endif
