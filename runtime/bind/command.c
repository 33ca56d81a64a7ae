/* command: a shell command beside a flow's worker (proc/command.h); on the table
 * mp.core, not for scripts.
 *
 *   core.command(text, [{ input = false, hold = true }]) -> c | nil, reason
 *                             sh -c text. input: false: its stdin is /dev/null.
 *                             hold: its stderr is passed on to ours when it has
 *                             ended well, else as it comes
 *   c:exchange([text]) -> output, state
 *                             writes text, reading meanwhile; waits only for what
 *                             it writes. state: "more": take this output and call
 *                             again, without a text; "closed": it takes no more;
 *                             "ended": and its shell has ended; else nil
 *   c:finish() -> output | output, status, tail
 *                             no more input; waits for some output. With a status,
 *                             that was the last: { code = n } or { signal = n },
 *                             {} if nobody knows; tail is the end of its stderr
 *   c:kill()                  its process group; also by __close and __gc
 *   c:pid() -> of its shell, which leads its group; nil: it has ended
 *
 * SPDX-License-Identifier: MIT */
#include "../proc/command.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bind.h"

static const char meta[] = "mp.Command";

/* User value 1 is the text that is being written. */
typedef struct command {
	mp_state *st;
	mp_command c;
} command;

static command *check(lua_State *L, const char *call)
{
	command *u = luaL_testudata(L, 1, meta);
	if (!u)
		mp_misuse(L, call, "expected a Command, got %s (call it with a colon)",
		          luaL_typename(L, 1));
	mp_state_self(L, u->st, call);
	return u;
}

static command *running(lua_State *L, const char *call)
{
	command *u = check(L, call);
	if (!u->c.pid)
		mp_misuse(L, call, "it has ended, or is another process's");
	return u;
}

/* ---- starting ------------------------------------------------------------------- */

static unsigned option(lua_State *L, const char *name, bool is, unsigned flag)
{
	if (lua_istable(L, 2) && lua_getfield(L, 2, name) != LUA_TNIL)
		is = lua_toboolean(L, -1);
	return is ? flag : 0;
}

/* What a correct program may meet. */
static int refused(lua_State *L, int rc, const char *call)
{
	const char *why = rc == -E2BIG ? "too long for a command line"
	                : rc == -EAGAIN ? "too many processes (RLIMIT_NPROC, ulimit -u, or the "
	                                  "cgroup's pids.max)"
	                : rc == -ENOMEM ? "not enough memory"
	                : rc == -EMFILE || rc == -ENFILE ? "no descriptor is left (ulimit -n)"
	                : NULL;
	if (rc == -EBUSY)
		mp_misuse(L, call, "this process runs %d commands already; finish or kill one",
		          MP_GROUPS);
	lua_pushnil(L);
	if (why)
		lua_pushstring(L, why);
	else
		lua_pushfstring(L, "cannot execute /bin/sh: %s", strerror(-rc));
	return 2;
}

static int core_command(lua_State *L)
{
	static const char call[] = "core.command";
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	if (strlen(text) != len)
		mp_misuse(L, call, "the text has a NUL byte, which no command line may have");
	unsigned how = option(L, "input", true, MP_COMMAND_INPUT) |
	               option(L, "hold", false, MP_COMMAND_HOLD);
	mp_state *st = mp_state_of(L);
	mp_state_self(L, st, call);
	command *u = lua_newuserdatauv(L, sizeof *u, 1);
	memset(u, 0, sizeof *u);
	u->st = st;
	luaL_setmetatable(L, meta);
	int rc = mp_command_start(st->rt, &u->c, text, how);
	return rc ? refused(L, rc, call) : 1;
}

/* ---- its input and output ------------------------------------------------------- */

/* Pushes what it has printed so far. */
static void push_output(lua_State *L, mp_text *t)
{
	lua_pushlstring(L, t->data ? t->data : "", t->len);
	t->len = 0;
}

/* A handler may have killed it. */
static void interrupt(lua_State *L, command *u, const char *call)
{
	mp_interrupt(L, u->st);
	if (!u->c.pid)
		mp_misuse(L, call, "it was killed by a signal handler meanwhile");
}

static int command_exchange(lua_State *L)
{
	static const char call[] = "Command:exchange";
	command *u = running(L, call);
	size_t len = 0;
	const char *text = luaL_optlstring(L, 2, "", &len);
	int rc;
	if (len && u->c.left)
		mp_misuse(L, call, "its last text is not written yet (the state was \"more\")");
	if (len) {
		lua_pushvalue(L, 2);
		lua_setiuservalue(L, 1, 1);
		mp_command_feed(&u->c, text, len);
	}
	while ((rc = mp_command_exchange(&u->c)) == MP_INTERRUPTED)
		interrupt(L, u, call);
	if (rc < 0)
		return mp_fail(L, rc, call);
	push_output(L, &u->c.output);
	if (rc == MP_OK)
		return 1;
	lua_pushstring(L, rc == MP_FULL ? "more" : mp_command_ended(&u->c) ? "ended" : "closed");
	return 2;
}

static void push_status(lua_State *L, int status)
{
	lua_createtable(L, 0, 1);
	if (status < 0)
		return;
	lua_pushinteger(L, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	lua_setfield(L, -2, WIFSIGNALED(status) ? "signal" : "code");
}

static int command_finish(lua_State *L)
{
	static const char call[] = "Command:finish";
	command *u = running(L, call);
	int rc;
	while ((rc = mp_command_finish(&u->c)) == MP_INTERRUPTED)
		interrupt(L, u, call);
	if (rc < 0)
		return mp_fail(L, rc, call);
	push_output(L, &u->c.output);
	if (rc == MP_OK)
		return 1;
	push_status(L, u->c.status);
	lua_pushlstring(L, u->c.tail, u->c.ntail);
	return 3;
}

/* ---- the rest ------------------------------------------------------------------- */

static int command_kill(lua_State *L)
{
	mp_command_kill(&check(L, "Command:kill")->c);
	return 0;
}

static int command_pid(lua_State *L)
{
	command *u = check(L, "Command:pid");
	if (!u->c.pid)
		return 0;
	lua_pushinteger(L, u->c.pid);
	return 1;
}

static int command_gc(lua_State *L)
{
	command *u = luaL_checkudata(L, 1, meta);
	mp_command_free(&u->c);
	return 0;
}

static int command_tostring(lua_State *L)
{
	const command *u = luaL_checkudata(L, 1, meta);
	if (u->c.pid)
		lua_pushfstring(L, "Command (pid %d)", (int)u->c.pid);
	else
		lua_pushliteral(L, "Command (ended)");
	return 1;
}

static const luaL_Reg methods[] = {
	{ "exchange", command_exchange },
	{ "finish", command_finish },
	{ "kill", command_kill },
	{ "pid", command_pid },
	{ "__close", command_gc },
	{ "__gc", command_gc },
	{ "__tostring", command_tostring },
	{ NULL, NULL }
};

void mp_open_command(lua_State *L)
{
	luaL_newmetatable(L, meta);
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lua_getfield(L, -1, "core");
	lua_pushcfunction(L, core_command);
	lua_setfield(L, -2, "command");
	lua_pop(L, 1);
}
