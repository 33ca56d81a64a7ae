/* options: the command line of mprun.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_OPTIONS_H
#define MP_OPTIONS_H

#include <stddef.h>

typedef struct options {
	enum { RUN, SHOW_HELP, SHOW_VERSION } action;
	const char *script;        /* NULL: with -e, none */
	int has_code;
	char *code;                /* of all -e, joined by newlines */
	int nargs;                 /* arg[0], the script's name, and its arguments */
	const char **args;
	int nset;                  /* for mp_set, in order */
	struct setting { const char *name, *value; } *set;
	char *names;               /* owns the settings' names */
} options;

/* Reads argv. 0, or -1 with the complaint in error, which says what was wrong
 * and what was expected. Either way options_free afterwards. */
int options_read(options *o, int argc, char **argv, char *error, size_t size);
void options_free(options *o);

extern const char options_help[];

#endif
