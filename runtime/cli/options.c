/* options: the command line of mprun.
 *
 * One table says which options there are. Most become an mp_set: whether a
 * value is good is for the library to say, not decided twice.
 *
 * SPDX-License-Identifier: MIT */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char options_help[] =
"usage: mprun [options] script.lua [arguments]\n"
"       mprun [options] -e CODE [arguments]\n"
"\n"
"Runs a Lua script, and the pipelines that it declares, on all processors.\n"
"`-` as the script is standard input.\n"
"\n"
"  -e CODE               run CODE instead of a script\n"
"  -j N                  what the word `cpu` means in a flow\n"
"  -o STAGE.OPTION=VALUE set an option of a stage, over what the script says\n"
"  --memory SIZE         limit of shared memory, as 512M or 4G\n"
"                        (also the environment's MPRUN_MEMORY)\n"
"  --check               check the script's flows instead of running them\n"
"  --graph FORMAT        draw them instead: dot, svg or text\n"
"  --summary             a table per stage at the end\n"
"  --bar, --no-bar       live progress, or none\n"
"  --no-fuse             every stage in processes of its own\n"
"  -v, --version         the version\n"
"  -h, --help            this text\n"
"  --                    ends the options\n"
"\n"
"Exit status: 0 all done; 1 an error in the script or a stage; 2 bad usage or\n"
"a bad flow; 3 a deadlock; 130, 143 interrupted.\n";

enum kind { HELP, VERSION, CODE, STAGE, VALUE, YES, NO, LATER };

static const struct option {
	const char *name;
	enum kind kind;
	const char *set;           /* VALUE, YES, NO: the name for mp_set */
} table[] = {
	{ "--bar",     YES,     "bar" },
	{ "--check",   YES,     "check" },
	{ "--graph",   VALUE,   "graph" },
	{ "--help",    HELP,    NULL },
	{ "--joblog",  LATER,   NULL },
	{ "--memory",  VALUE,   "memory" },
	{ "--no-bar",  NO,      "bar" },
	{ "--no-fuse", YES,     "apart" },
	{ "--resume",  LATER,   NULL },
	{ "--summary", YES,     "summary" },
	{ "--trace",   LATER,   NULL },
	{ "--version", VERSION, NULL },
	{ "-e",        CODE,    NULL },
	{ "-h",        HELP,    NULL },
	{ "-j",        VALUE,   "jobs" },
	{ "-o",        STAGE,   NULL },
	{ "-v",        VERSION, NULL },
};
enum { NOPTIONS = sizeof table / sizeof table[0] };

/* --- finding one ------------------------------------------------------------- */

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;
	return m < c ? m : c;
}

/* How many letters to change, add or drop; far apart is just "far". */
static int distance(const char *a, const char *b)
{
	enum { MAX = 31, FAR = 99 };
	int row[MAX + 1];
	int na = (int)strlen(a), nb = (int)strlen(b);

	if (na > MAX || nb > MAX)
		return FAR;
	for (int j = 0; j <= nb; j++)
		row[j] = j;
	for (int i = 1; i <= na; i++) {
		int diagonal = row[0];
		row[0] = i;
		for (int j = 1; j <= nb; j++) {
			int above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1,
			              diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[nb];
}

static const char *nearest(const char *name)
{
	const char *best = NULL;
	int least = 3;  /* more than two letters off is no typing error */
	for (int i = 0; i < NOPTIONS; i++) {
		int d = distance(name, table[i].name);
		if (strlen(table[i].name) > 2 && d < least) {
			least = d;
			best = table[i].name;
		}
	}
	return best;
}

static int takes_value(const struct option *opt)
{
	return opt->kind == CODE || opt->kind == STAGE || opt->kind == VALUE;
}

static const struct option *find(const char *name)
{
	for (int i = 0; i < NOPTIONS; i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}

/* --- reading ----------------------------------------------------------------- */

struct reader {
	options *o;
	int argc, i;
	char **argv;
	char *free;                /* next byte of o->names */
	char *error;
	size_t size;
};

static char *keep(struct reader *r, const char *text, size_t len)
{
	char *kept = r->free;
	memcpy(kept, text, len);
	kept[len] = '\0';
	r->free += len + 1;
	return kept;
}

static int unknown(struct reader *r, const char *name)
{
	const char *near = nearest(name);
	if (near)
		snprintf(r->error, r->size,
		         "unknown option '%s' (did you mean '%s'?)", name, near);
	else
		snprintf(r->error, r->size,
		         "unknown option '%s' (mprun --help lists them)", name);
	return -1;
}

/* The word as an option's name, and the value that stands in the same word:
 * --name=value, -ovalue. */
static const struct option *split(struct reader *r, const char *word,
                                  char *name, size_t size, const char **value)
{
	size_t len = word[1] == '-' ? strcspn(word, "=") : 2;
	const struct option *opt;

	if (len >= size)
		len = size - 1;
	memcpy(name, word, len);
	name[len] = '\0';
	*value = word[len] == '\0' ? NULL : word[1] == '-' ? word + len + 1
	                                                   : word + len;
	opt = find(name);
	if (!opt) {
		unknown(r, word[1] == '-' ? name : word);
	} else if (*value && !takes_value(opt) && opt->kind != LATER) {
		snprintf(r->error, r->size, "option '%s' takes no value", name);
		opt = NULL;
	}
	return opt;
}

static void set(struct reader *r, const char *name, const char *value)
{
	r->o->set[r->o->nset++] = (struct setting){ name, value };
}

static int set_stage(struct reader *r, const char *text)
{
	const char *equals = strchr(text, '=');
	const char *dot = strchr(text, '.');

	if (!equals || !dot || dot == text || dot + 1 >= equals) {
		snprintf(r->error, r->size,
		         "-o: '%s' is not of the form stage.option=value", text);
		return -1;
	}
	set(r, keep(r, text, (size_t)(equals - text)), equals + 1);
	return 0;
}

static void add_code(struct reader *r, const char *text)
{
	if (r->o->has_code)
		strcat(r->o->code, "\n");
	r->o->has_code = 1;
	strcat(r->o->code, text);
}

static int apply(struct reader *r, const struct option *opt, const char *value)
{
	switch (opt->kind) {
	case HELP:    r->o->action = SHOW_HELP; return 0;
	case VERSION: r->o->action = SHOW_VERSION; return 0;
	case CODE:    add_code(r, value); return 0;
	case STAGE:   return set_stage(r, value);
	case VALUE:   set(r, opt->set, value); return 0;
	case YES:     set(r, opt->set, "yes"); return 0;
	case NO:      set(r, opt->set, "no"); return 0;
	case LATER:
		break;
	}
	snprintf(r->error, r->size, "%s is not there yet: it comes later",
	         opt->name);
	return -1;
}

static int read_option(struct reader *r)
{
	char name[64];
	const char *value;
	const struct option *opt =
		split(r, r->argv[r->i++], name, sizeof name, &value);

	if (!opt)
		return -1;
	if (takes_value(opt) && !value) {
		if (r->i == r->argc) {
			snprintf(r->error, r->size, "option '%s' needs a value", name);
			return -1;
		}
		value = r->argv[r->i++];
	}
	return apply(r, opt, value);
}

static int is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0';  /* "-" is standard input */
}

/* What follows the options: the script, and all that is its own. */
static int read_script(struct reader *r)
{
	options *o = r->o;

	if (o->has_code) {
		o->args[o->nargs++] = "(command line)";
	} else if (r->i == r->argc) {
		snprintf(r->error, r->size,
		         "no script given (mprun --help tells more)");
		return -1;
	} else if (!strcmp(r->argv[r->i], "top")) {
		snprintf(r->error, r->size, "`mprun top` is not there yet: it comes "
		         "later (a script of that name: ./top)");
		return -1;
	} else {
		o->script = r->argv[r->i];
	}
	while (r->i < r->argc)
		o->args[o->nargs++] = r->argv[r->i++];
	return 0;
}

static int reserve(options *o, int argc, char **argv)
{
	size_t len = 1;
	for (int i = 0; i < argc; i++)
		len += strlen(argv[i]) + 1;
	o->names = malloc(len);
	o->code = calloc(len, 1);
	o->args = calloc((size_t)argc + 2, sizeof *o->args);
	o->set = calloc((size_t)argc + 1, sizeof *o->set);
	return o->names && o->code && o->args && o->set ? 0 : -1;
}

int options_read(options *o, int argc, char **argv, char *error, size_t size)
{
	struct reader r = { .o = o, .argc = argc, .i = 1, .argv = argv,
	                    .error = error, .size = size };

	*o = (options){ .action = RUN };
	if (reserve(o, argc, argv)) {
		snprintf(error, size, "not enough memory");
		return -1;
	}
	r.free = o->names;
	while (r.i < argc && is_option(argv[r.i])) {
		if (!strcmp(argv[r.i], "--")) {
			r.i++;
			break;
		}
		if (read_option(&r))
			return -1;
		if (o->action != RUN)
			return 0;
	}
	return read_script(&r);
}

void options_free(options *o)
{
	free(o->names);
	free(o->code);
	free(o->args);
	free(o->set);
}
