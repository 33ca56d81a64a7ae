/* embed: mprun.h as a host uses it: results, messages, ownership, and no
 * memory left when any single allocation fails.
 *
 * SPDX-License-Identifier: MIT */
#include "mprun.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *now = "";

#define CHECK(c) \
	do { \
		if (!(c)) { \
			fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, \
			        now, #c); \
			exit(1); \
		} \
	} while (0)

/* Counts what is allocated; the nth call for more memory fails. */
struct meter {
	long live;
	long calls, fail_at;
};

static void *metered(void *ud, void *ptr, size_t osize, size_t nsize)
{
	struct meter *m = ud;
	size_t old = ptr ? osize : 0;
	void *p;

	if (nsize == 0) {
		free(ptr);
		m->live -= (long)old;
		return NULL;
	}
	if (nsize > old && ++m->calls == m->fail_at)
		return NULL;
	p = realloc(ptr, nsize);
	if (p)
		m->live += (long)nsize - (long)old;
	return p;
}

static mp_rt *opened(void)
{
	mp_rt *rt;
	int rc = mp_open(&rt, NULL);
	if (rc)
		fprintf(stderr, "mp_open: %d: %s\n", rc, mp_errmsg(NULL));
	CHECK(rc == 0 && rt);
	return rt;
}

static int load(mp_rt *rt, const char *text)
{
	return mp_load_string(rt, text, strlen(text), "=demo");
}

static void runs(mp_rt *rt, const char *text)
{
	CHECK(load(rt, text) == 0);
	if (mp_run(rt))
		fprintf(stderr, "%s\n", mp_errmsg(rt));
	CHECK(mp_exit_status(rt) == 0);
}

static int has(mp_rt *rt, const char *text)
{
	return strstr(mp_errmsg(rt), text) != NULL;
}

static void results_in_words(void)
{
	now = "mp_strerror";
	CHECK(!strcmp(mp_version(), MP_VERSION));
	CHECK(!strcmp(mp_strerror(0), "success"));
	CHECK(!strcmp(mp_strerror(MP_TIMEOUT), "timeout"));
	CHECK(!strcmp(mp_strerror(-ENOENT), strerror(ENOENT)));
	CHECK(!strcmp(mp_strerror(4711), "unknown result code"));
	CHECK(!strcmp(mp_strerror(-1000000), "unknown result code"));
}

static void scripts_run(void)
{
	mp_rt *rt = opened();
	const char *args[] = { "name", "one", "two" };

	now = "mp_run";
	CHECK(!strcmp(mp_errmsg(rt), ""));
	CHECK(mp_run(rt) == -EINVAL && has(rt, "no script"));
	CHECK(mp_args(rt, 3, args) == 0);
	runs(rt, "assert(arg[0] == 'name' and #arg == 2 and arg[2] == 'two')\n"
	         "assert(select('#', ...) == 2 and ... == 'one')");
	now = "the script is forgotten when it has run";
	CHECK(mp_run(rt) == -EINVAL);
	now = "one state for all that is run";
	runs(rt, "kept = 1");
	runs(rt, "assert(kept == 1 and mp == require 'mp')");
	mp_close(rt);
}

static void errors_are_told(void)
{
	mp_rt *rt = opened();

	now = "errors";
	CHECK(load(rt, "\nx = = 1") == MP_ESYNTAX && has(rt, "demo:2: "));
	CHECK(load(rt, "error 'broken'") == 0);
	CHECK(mp_run(rt) == MP_ESCRIPT && mp_exit_status(rt) == 1);
	CHECK(has(rt, "demo:1: broken\nstack traceback:\n"));
	CHECK(load(rt, "local t = setmetatable({}, { __index = error })\n"
	               "error(t)") == 0);
	CHECK(mp_run(rt) == MP_ESCRIPT && mp_exit_status(rt) == 1);
	CHECK(load(rt, "error(setmetatable({ exit_status = 2 },\n"
	               "{ __tostring = function() return 'bad flow' end }))") == 0);
	CHECK(mp_run(rt) == MP_ESCRIPT && mp_exit_status(rt) == 2);
	CHECK(!strcmp(mp_errmsg(rt), "bad flow"));
	runs(rt, "");
	CHECK(!strcmp(mp_errmsg(rt), ""));

	now = "files";
	CHECK(mp_load_file(rt, "no/such.lua") == -ENOENT);
	CHECK(has(rt, "no/such.lua"));
	CHECK(mp_load_file(rt, "/") == -EISDIR);
	mp_close(rt);
}

static void options_are_kept(void)
{
	mp_rt *rt = opened();

	now = "mp_set";
	CHECK(mp_set(rt, "jobs", "2") == 0);
	CHECK(mp_set(rt, "summary", "no") == 0);
	runs(rt, "local o = require 'mp.options'\n"
	         "assert(o.jobs == 2 and o.summary == false)");
	CHECK(mp_set(rt, "fetch.cap", "3") == 0);
	CHECK(mp_set(rt, "colour", "red") == -EINVAL && has(rt, "'colour'"));
	CHECK(mp_set(rt, "jobs", "-2") == -EINVAL && has(rt, "'-2'"));
	CHECK(mp_set(rt, "memory", "1e99") == -EINVAL);
	mp_close(rt);
}

static void configurations(void)
{
	struct { mp_config known; size_t later; } cfg;
	mp_rt *rt = (mp_rt *)&cfg;

	now = "mp_config";
	mp_config_init(&cfg.known, sizeof cfg);
	CHECK(mp_open(&rt, &cfg.known) == 0);
	mp_close(rt);
	cfg.later = 1;
	CHECK(mp_open(&rt, &cfg.known) == -E2BIG && !rt);
	CHECK(strlen(mp_errmsg(NULL)) > 0);
	cfg.known.size = 0;
	CHECK(mp_open(&rt, &cfg.known) == -EINVAL && !rt);
	mp_close(NULL);
}

/* Each has its globals, objects and processes; the end of one is not the
 * other's. */
static void two_at_once(void)
{
	mp_rt *a = opened(), *b = opened();

	now = "two runtimes in one program";
	runs(a, "q, l = mp.Queue(), mp.Lock(); q:put 'a'; l:acquire()");
	runs(b, "assert(q == nil)\n"
	        "q, l = mp.Queue(), mp.Lock(); q:put 'b'; assert(l:acquire(false))");
	runs(a, "assert(mp.spawn(function() return q:get() end):result(60) == 'a')");
	runs(b, "assert(mp.spawn(function() return q:get() end):result(60) == 'b')");
	now = "a handle does not leave its runtime as bytes";
	runs(a, "local ok, why = pcall(mp.pack, q)\n"
	        "assert(not ok and why:find('cannot send a handle', 1, true), why)");
	now = "processes of two runtimes";
	runs(a, "p = mp.spawn(mp.sleep, 60)");
	runs(b, "assert(#mp.active_children() == 0)\n"
	        "assert(mp.spawn(function() return 7 end):result(60) == 7)");
	runs(a, "assert(#mp.active_children() == 1); p:kill(); assert(p:join(60))");
	now = "one goes on when the other is closed";
	mp_close(a);
	runs(b, "q:put(5); assert(q:get() == 5 and l:locked())\n"
	        "assert(mp.spawn(function() return q:qsize() end):result(60) == 0)");
	mp_close(b);
}

/* A whole life with a little of everything, so that each allocation of it can
 * be made to fail. */
static int life(struct meter *m)
{
	const char *args[] = { "name", "one" };
	mp_config cfg;
	mp_rt *rt;
	int rc;

	mp_config_init(&cfg, sizeof cfg);
	cfg.alloc = metered;
	cfg.alloc_ud = m;
	rc = mp_open(&rt, &cfg);
	if (rc)
		return rc;
	rc = mp_args(rt, 2, args);
	if (!rc)
		rc = mp_set(rt, "jobs", "2");
	if (!rc)
		rc = load(rt, "local t = {} for i = 1, 100 do t[i] = i .. '' end\n"
		              "assert(... == 'one')");
	if (!rc)
		rc = mp_run(rt);
	mp_close(rt);
	return rc;
}

static void no_allocation_is_taken_for_granted(void)
{
	struct meter m = { 0, 0, 0 };
	long calls, step;
	const char *prove = getenv("MP_PROVE");

	now = "a run with a metered allocator";
	CHECK(life(&m) == 0);
	CHECK(m.live == 0);
	calls = m.calls;
	/* The first ones open the state, all else is much of the same. */
	step = prove && *prove == '1' ? 1 : 1 + calls / 300;
	for (long at = 1; at <= calls; at += at < 200 ? 1 : step) {
		int rc;
		m = (struct meter){ 0, 0, at };
		rc = life(&m);
		if (m.live != 0)
			fprintf(stderr, "allocation %ld of %ld: result %d, %ld bytes left\n",
			        at, calls, rc, m.live);
		CHECK(m.live == 0);
	}
}

/* ---- deadlock ----------------------------------------------------------------- */

static void *idle(void *seconds)
{
	sleep(*(unsigned *)seconds);
	return NULL;
}

/* The message is the report, and the processes are not waited for. */
static void a_deadlock_is_an_error(void)
{
	mp_rt *rt = opened();
	now = "a deadlock in mp_run";
	CHECK(load(rt, "local q = mp.Queue()\n"
	               "mp.spawn(q.get, q):join()") == 0);
	CHECK(mp_run(rt) == MP_ESCRIPT && mp_exit_status(rt) == 3);
	CHECK(has(rt, "deadlock: all 2 processes wait"));
	CHECK(has(rt, "end of Process-1"));
	CHECK(has(rt, "demo:2\n") && has(rt, "\n  help: "));
	mp_close(rt);
}

/* Another thread may know something. */
static void threads_may_end_a_wait(void)
{
	mp_rt *rt = opened();
	pthread_t t;
	unsigned seconds = 3;
	time_t begun = time(NULL);
	now = "a deadlock but for a thread";
	CHECK(pthread_create(&t, NULL, idle, &seconds) == 0);
	CHECK(load(rt, "mp.Queue():get()") == 0);
	CHECK(mp_run(rt) == MP_ESCRIPT && mp_exit_status(rt) == 3);
	CHECK(time(NULL) - begun >= 2);  /* it has ended */
	pthread_join(t, NULL);
	mp_close(rt);
}

/* Runs f in a process of its own: its exit status, and what it printed. */
static int elsewhere(void (*f)(void), char *text, size_t size)
{
	int fds[2], status;
	ssize_t n, len = 0;
	pid_t pid;
	CHECK(pipe(fds) == 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		f();
		exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], text + len, size - 1 - (size_t)len)) > 0)
		len += n;
	text[len] = 0;
	close(fds[0]);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static const char waits[] = "local q = mp.Queue() mp.spawn(q.get, q)";

static void closes(void)
{
	mp_rt *rt = opened();
	runs(rt, waits);
	mp_close(rt);
}

static mp_rt *volatile kept;  /* exit(3) ends its processes and frees nothing */

static void exits(void)
{
	kept = opened();
	runs(kept, waits);
}

static void exits_alone(void)
{
	mp_rt *rt = opened();
	CHECK(mp_set(rt, "standalone", "yes") == 0);
	runs(rt, waits);
}

static void the_end_does_not_hang(void)
{
	static const struct { const char *name; void (*f)(void); int status; } ends[] = {
		{ "in mp_close", closes, 0 },
		{ "in exit", exits, 0 },
		{ "in exit of a program that is there for the script", exits_alone, 3 },
	};
	char text[4096];
	for (int i = 0; i < 3; i++) {
		now = ends[i].name;
		int status = elsewhere(ends[i].f, text, sizeof text);
		if (status != ends[i].status)
			fprintf(stderr, "status %d, stderr:\n%s\n", status, text);
		CHECK(status == ends[i].status);
		CHECK(strstr(text, "deadlock: all 2 processes wait"));
		CHECK(strstr(text, "its end\n"));
	}
}

int main(void)
{
	alarm(getenv("MP_PROVE") ? 900 : 100);
	results_in_words();
	scripts_run();
	errors_are_told();
	options_are_kept();
	configurations();
	two_at_once();
	a_deadlock_is_an_error();
	threads_may_end_a_wait();
	the_end_does_not_hang();
	no_allocation_is_taken_for_granted();
	return 0;
}
