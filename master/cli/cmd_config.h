/* Between the files of `drover config`. */
#ifndef MASTER_CLI_CMD_CONFIG_H
#define MASTER_CLI_CMD_CONFIG_H

#define CONFIG_SITE "/etc/drover/master.yaml" /* where `config check --site` is told no file */

/* Diagnostics, made harmless, on standard error. */
void config_print_safe(const char *text);
#endif
