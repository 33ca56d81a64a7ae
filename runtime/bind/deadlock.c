/* deadlock: how the owner's script learns of one.
 *
 * The report goes to stderr, and its first line is the message of an error
 * that is raised in whatever the script waits for, or at its next safe point.
 * A host that runs the script gets the whole report as that message instead,
 * and nothing is printed: until it closes the runtime, where nobody is left to
 * get an error.
 *
 * SPDX-License-Identifier: MIT */
#include "../proc/deadlock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../proc/stdio.h"
#include "bind.h"

/* One write, with the program's name before it. */
static void print(const mp_state *st, const char *report)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	if (f) {
		fprintf(f, "%s: %s", st->standalone ? "mprun" : "mp", report);
		fclose(f);
	}
	mp_stdio_flush();
	if (text)
		mp_stdio_error(text, len);
	free(text);
}

void mp_deadlock_print(mp_state *st)
{
	char *report = mp_deadlock_take(st->rt);
	if (report)
		print(st, report);
	free(report);
}

/* While the script falls the same processes are still stuck when their
 * creator joins them: that is no news. */
static _Noreturn void raise_deadlock(lua_State *L, mp_state *st)
{
	bool prints = !st->hosted || st->ending, news = !(st->ending && st->fell);
	size_t len;
	luaL_checkstack(L, 6, "mp");
	lua_createtable(L, 0, 5);
	const char *report = lua_pushstring(L, st->rt->deadlock);
	free(mp_deadlock_take(st->rt));
	if (prints && news)
		print(st, report);
	len = prints ? strcspn(report, "\n") : strlen(report) - 1;
	lua_pushlstring(L, report, len);
	lua_setfield(L, -3, "message");
	lua_setfield(L, -2, "report");
	lua_pushliteral(L, "Deadlock");
	lua_setfield(L, -2, "name");
	lua_pushinteger(L, MP_EXIT_DEADLOCK);
	lua_setfield(L, -2, "exit_status");
	lua_pushboolean(L, prints);
	lua_setfield(L, -2, "quiet");
	st->fell = true;
	st->forced = st->forced || st->ending;
	mp_raise_object(L);
}

void mp_deadlock_check(lua_State *L, mp_state *st)
{
	if (st->rt && mp_runtime_mine(st->rt) && mp_deadlock_found(st->rt))
		raise_deadlock(L, st);
}
