/* glob: see glob.h.
 *
 * The pattern is cut at its slashes, once; walk() puts one part after the other
 * behind the path so far. glob(3) knows no `**`, and sorts by locale.
 *
 * SPDX-License-Identifier: MIT */
#include "glob.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct part {
	char *text;
	enum { LITERAL, PATTERN, FOLDERS } kind;
} part;

typedef struct search {
	part *parts;
	size_t nparts;
	bool folder;               /* the pattern ends with a slash */
	char *path;                /* what was put together so far */
	size_t cap;
	mp_names *found;
} search;

/* ---- names ------------------------------------------------------------------- */

static int add_name(mp_names *names, const char *name)
{
	if (names->n == names->cap) {
		size_t cap = names->cap ? 2 * names->cap : 16;
		char **list = realloc(names->list, cap * sizeof *list);
		if (!list)
			return -ENOMEM;
		names->list = list;
		names->cap = cap;
	}
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	names->list[names->n++] = copy;
	return 0;
}

void mp_names_free(mp_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->list[i]);
	free(names->list);
	*names = (mp_names){ 0 };
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* `**` may lead to a path in several ways. */
static void sort(mp_names *names)
{
	size_t kept = 0;
	if (names->n > 1)
		qsort(names->list, names->n, sizeof *names->list, by_bytes);
	for (size_t i = 0; i < names->n; i++) {
		if (kept && strcmp(names->list[kept - 1], names->list[i]) == 0)
			free(names->list[i]);
		else
			names->list[kept++] = names->list[i];
	}
	names->n = kept;
}

/* ---- the pattern --------------------------------------------------------------- */

static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (*s == '\\' && s[1])
			s++;
		*to++ = *s;
	}
	*to = 0;
}

static bool is_pattern(const char *s)
{
	for (; *s; s++) {
		if (*s == '\\' && s[1])
			s++;
		else if (strchr("*?[", *s))
			return true;
	}
	return false;
}

/* Cuts text, which has room for as many parts as it has bytes. */
static void cut(search *s, char *text)
{
	for (char *name = strtok_r(text, "/", &text); name; name = strtok_r(NULL, "/", &text)) {
		part *p = &s->parts[s->nparts++];
		p->text = name;
		p->kind = strcmp(name, "**") == 0 ? FOLDERS : is_pattern(name) ? PATTERN : LITERAL;
		if (p->kind == LITERAL)
			unescape(name);
	}
}

/* ---- the search ------------------------------------------------------------------ */

/* Puts a name behind the path, of that length: *len is the new one. */
static int put(search *s, size_t *len, const char *name)
{
	size_t slash = *len && s->path[*len - 1] != '/', n = strlen(name);
	if (*len + n + 2 > s->cap) {
		size_t cap = 2 * (*len + n) + 256;
		char *path = realloc(s->path, cap);
		if (!path)
			return -ENOMEM;
		s->path = path;
		s->cap = cap;
	}
	if (slash)
		s->path[*len] = '/';
	memcpy(s->path + *len + slash, name, n + 1);
	*len += slash + n;
	return 0;
}

static bool hopeless(int err)
{
	return err == ENOMEM || err == EMFILE || err == ENFILE;
}

/* The names in the folder at the path that match; of all kinds. */
static int list(const search *s, size_t len, const char *pattern, mp_names *names)
{
	DIR *dir = opendir(len ? s->path : ".");
	int rc = 0;
	if (!dir)
		return hopeless(errno) ? -errno : 0;
	for (struct dirent *e; rc == 0 && (e = readdir(dir)) != NULL;) {
		const char *name = e->d_name;
		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
		    fnmatch(pattern, name, FNM_PERIOD) == 0)
			rc = add_name(names, name);
	}
	closedir(dir);
	return rc;
}

static int walk(search *s, size_t len, size_t i);

static int walk_name(search *s, size_t len, size_t i, const char *name)
{
	int rc = put(s, &len, name);
	return rc ? rc : walk(s, len, i + 1);
}

static int walk_pattern(search *s, size_t len, size_t i)
{
	mp_names names = { 0 };
	int rc = list(s, len, s->parts[i].text, &names);
	for (size_t k = 0; rc == 0 && k < names.n; k++)
		rc = walk_name(s, len, i, names.list[k]);
	mp_names_free(&names);
	return rc;
}

/* What is behind `**` in this folder, and the same in those below. */
static int walk_folders(search *s, size_t len, size_t i)
{
	mp_names names = { 0 };
	struct stat st;
	int rc = list(s, len, "*", &names);
	for (size_t k = 0; rc == 0 && k < names.n; k++) {
		size_t below = len;
		rc = put(s, &below, names.list[k]);
		if (rc == 0 && lstat(s->path, &st) == 0 && S_ISDIR(st.st_mode))
			rc = walk_folders(s, below, i);
	}
	mp_names_free(&names);
	if (rc == 0 && len) {
		s->path[len] = 0;
		rc = walk(s, len, i + 1);
	} else if (rc == 0) {
		rc = walk(s, 0, i + 1);
	}
	return rc;
}

static int arrived(search *s, size_t len)
{
	struct stat st;
	if (len == 0)
		return 0;
	if (s->folder && (stat(s->path, &st) < 0 || !S_ISDIR(st.st_mode)))
		return 0;
	if (lstat(s->path, &st) < 0)
		return 0;
	int rc = s->folder ? put(s, &len, "") : 0;
	return rc ? rc : add_name(s->found, s->path);
}

/* The path, of that length, and what matches the parts from i on. */
static int walk(search *s, size_t len, size_t i)
{
	if (i == s->nparts)
		return arrived(s, len);
	const part *p = &s->parts[i];
	if (p->kind == LITERAL)
		return walk_name(s, len, i, p->text);
	return p->kind == PATTERN ? walk_pattern(s, len, i) : walk_folders(s, len, i);
}

int mp_glob(const char *pattern, mp_names *found)
{
	size_t n = strlen(pattern), len = 0;
	search s = { .found = found, .folder = n && pattern[n - 1] == '/' };
	char *text = malloc(n + 1);
	int rc = -ENOMEM;
	s.parts = calloc(n + 2, sizeof *s.parts);
	if (!text || !s.parts)
		goto out;
	memcpy(text, pattern, n + 1);
	cut(&s, text);
	if (s.nparts && s.parts[s.nparts - 1].kind == FOLDERS)
		s.parts[s.nparts++] = (part){ "*", PATTERN };  /* all that is below */
	rc = *pattern == '/' ? put(&s, &len, "/") : 0;
	if (rc == 0)
		rc = walk(&s, len, 0);
	sort(found);
out:
	free(s.path);
	free(s.parts);
	free(text);
	return rc;
}
