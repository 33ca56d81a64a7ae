/* mprun: the command. Built on the public mprun.h alone.
 *
 * SPDX-License-Identifier: MIT */
#include "mprun.h"
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAILED = 1, USAGE = 2 };

static int complain(const char *text, int status)
{
	fprintf(stderr, "mprun: %s\n", text);
	return status;
}

static int show(const char *text)
{
	if (fputs(text, stdout) < 0 || fflush(stdout))
		return complain("cannot write to standard output", FAILED);
	return 0;
}

/* Everything that the command line and the environment set; 0 or -1. */
static int configure(mp_rt *rt, const options *o, const char *program)
{
	const char *memory = getenv("MPRUN_MEMORY");

	if (mp_set(rt, "standalone", "yes") || mp_set(rt, "program", program))
		return -1;
	if (memory && *memory && mp_set(rt, "memory", memory))
		return -1;
	for (int i = 0; i < o->nset; i++)
		if (mp_set(rt, o->set[i].name, o->set[i].value))
			return -1;
	return mp_args(rt, o->nargs, o->args) ? -1 : 0;
}

static int load(mp_rt *rt, const options *o)
{
	if (o->has_code)
		return mp_load_string(rt, o->code, strlen(o->code),
		                      "=(command line)");
	return mp_load_file(rt, strcmp(o->script, "-") ? o->script : NULL);
}

/* A bad flow's message stands by itself, FILE:LINE:COLUMN: first, so that
 * editors find the place. */
static int report(mp_rt *rt)
{
	int status = mp_exit_status(rt);
	const char *text = mp_errmsg(rt);

	if (*text)
		fprintf(stderr, status == USAGE ? "%s\n" : "mprun: %s\n", text);
	return status;
}

static int run(mp_rt *rt, const options *o, const char *program)
{
	int rc;

	if (configure(rt, o, program))
		return complain(mp_errmsg(rt), USAGE);
	rc = load(rt, o);
	if (rc)
		return complain(mp_errmsg(rt), rc == MP_ESYNTAX ? FAILED : USAGE);
	mp_run(rt);
	return report(rt);
}

static int run_options(const options *o, const char *program)
{
	mp_rt *rt;
	int status;

	if (o->action == SHOW_HELP)
		return show(options_help);
	if (o->action == SHOW_VERSION)
		return show("mprun " MP_VERSION "\n");
	if (mp_open(&rt, NULL))
		return complain(mp_errmsg(NULL), FAILED);
	status = run(rt, o, program);
	mp_close(rt);
	return status;
}

int main(int argc, char **argv)
{
	options o;
	char error[512];
	int status;

	if (options_read(&o, argc, argv, error, sizeof error))
		status = complain(error, USAGE);
	else
		status = run_options(&o, argc > 0 ? argv[0] : "mprun");
	options_free(&o);
	return status;
}
