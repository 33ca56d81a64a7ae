/* signal: mp.on_signal, and mprun's Ctrl-C.
 *
 * C's handler only notes the signal and sets a hook, the one way into a
 * running script; Lua's runs at the next instruction, or in mp_interrupt when
 * a wait of ours noticed. A wait goes on afterwards unless it raised.
 *
 * Signals are the process's: the table below says which state each belongs
 * to. It is written by the process's first thread and read by handlers.
 *
 * SPDX-License-Identifier: MIT */
#include "../proc/thread.h"
#include "bind.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


#define NSIGNALS 65
#define NUDGE    SIGURG         /* ignored by default, so harmless where it is not ours */

static struct entry {
	mp_state *st;               /* whose, NULL: not ours */
	pthread_t thread;           /* where its script runs */
	volatile sig_atomic_t pending;
	bool script;                /* a function of Lua's, else mprun's own */
	bool quiet;                 /* a module's: nobody is expected to send it */
	bool saved;                 /* old is what was before us */
	struct sigaction old;
} table[NSIGNALS];
static uint64_t used;           /* bit n - 1: entry n may be other than 0 */

static const char handlers_key, interrupt_key, raised_key;

static const struct { const char *name; int sig; } names[] = {
	{ "HUP", SIGHUP }, { "INT", SIGINT }, { "QUIT", SIGQUIT }, { "ILL", SIGILL },
	{ "TRAP", SIGTRAP }, { "ABRT", SIGABRT }, { "BUS", SIGBUS }, { "FPE", SIGFPE },
	{ "KILL", SIGKILL }, { "USR1", SIGUSR1 }, { "SEGV", SIGSEGV }, { "USR2", SIGUSR2 },
	{ "PIPE", SIGPIPE }, { "ALRM", SIGALRM }, { "TERM", SIGTERM }, { "CHLD", SIGCHLD },
	{ "CONT", SIGCONT }, { "STOP", SIGSTOP }, { "TSTP", SIGTSTP }, { "TTIN", SIGTTIN },
	{ "TTOU", SIGTTOU }, { "URG", SIGURG }, { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
	{ "VTALRM", SIGVTALRM }, { "PROF", SIGPROF }, { "WINCH", SIGWINCH }, { "IO", SIGIO },
	{ "SYS", SIGSYS }, { "PWR", SIGPWR },
};

static const char *name_of(int sig)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].sig == sig)
			return names[i].name;
	return NULL;
}

static int number_of(const char *name)
{
	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].sig;
	return 0;
}

/* ---- from the signal to the script ---------------------------------------------- */

/* A hook of the script's own (a debugger's) is put back when ours has run: in
 * the main thread, in the coroutine that called us last, in the one that runs. */
static struct hook { lua_State *L; lua_Hook f; int mask, count; } before[3];

static void hook(lua_State *L, lua_Debug *ar);

static void set_hook(lua_State *L, struct hook *saved)
{
	lua_Hook f = lua_gethook(L);
	if (f == hook)
		return;
	for (int i = 0; i < 3; i++)
		if (before[i].L == L)
			before[i].L = NULL;  /* of an earlier signal */
	*saved = (struct hook){ L, f, lua_gethookmask(L), lua_gethookcount(L) };
	/* Not at calls: what our C functions call protected is not to fail by it. */
	lua_sethook(L, hook, LUA_MASKCOUNT, 1);
}

static void hook(lua_State *L, lua_Debug *ar)
{
	mp_state *st = mp_state_of(L);
	struct hook none = { .L = L }, *saved = &none;
	(void)ar;
	for (int i = 0; i < 3; i++)
		if (before[i].L == L)
			saved = &before[i];
	lua_sethook(L, saved->f, saved->mask, saved->count);
	if (st->signals && !st->held)
		mp_interrupt(L, st);
}

static void to_safe_point(mp_state *st)
{
	st->signals = 1;
	set_hook(st->L, &before[0]);
	if (st->running != st->L)
		set_hook(st->running, &before[1]);
	if (st->resumed)
		set_hook(st->resumed, &before[2]);
}

/* The system may give a signal to any thread that does not block it. */
static bool elsewhere(int sig)
{
	if (pthread_equal(pthread_self(), table[sig].thread))
		return false;
	pthread_kill(table[sig].thread, sig);
	return true;
}

/* From the keeper: a deadlock is to be reported. */
static void on_nudge(int sig)
{
	int saved = errno;
	if (table[sig].st && !elsewhere(sig))
		to_safe_point(table[sig].st);
	errno = saved;
}

static void on_signal(int sig)
{
	mp_state *st = table[sig].st;
	int saved = errno;
	if (!st || elsewhere(sig))
		return;
	/* mprun's own, the second time: at once; the keeper ends the others. */
	if (!table[sig].script && (table[sig].pending || st->interrupted))
		_exit(128 + sig);
	table[sig].pending = 1;
	to_safe_point(st);
	errno = saved;
}

static int interrupt_tostring(lua_State *L)
{
	lua_getfield(L, 1, "message");
	return 1;
}

/* For the table on top: tostring gives its message. */
static void set_message_meta(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &interrupt_key) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_createtable(L, 0, 1);
		lua_pushcfunction(L, interrupt_tostring);
		lua_setfield(L, -2, "__tostring");
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &interrupt_key);
	}
	lua_setmetatable(L, -2);
}

_Noreturn void mp_raise_object(lua_State *L)
{
	set_message_meta(L);
	lua_error(L);
	abort();  /* not reached; lua_error is not declared so */
}

/* The error that ends an interrupted script: exit_status is what mprun looks
 * at, and that there is no traceback. */
static _Noreturn void raise_interrupt(lua_State *L, mp_state *st, int sig)
{
	st->interrupted = true;
	st->signal = sig;
	lua_createtable(L, 0, 3);
	lua_pushliteral(L, "Interrupted");
	lua_setfield(L, -2, "name");
	lua_pushstring(L, sig == SIGINT ? "interrupted" : "terminated");
	lua_setfield(L, -2, "message");
	lua_pushinteger(L, 128 + sig);
	lua_setfield(L, -2, "exit_status");
	set_message_meta(L);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &raised_key);
	mp_pass_interrupt(L);
}

bool mp_is_interrupt(lua_State *L, int idx)
{
	if (!lua_istable(L, idx))
		return false;
	lua_pushvalue(L, idx);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &raised_key);
	bool is = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return is;
}

/* core.is_interrupt(e): is that the error by which a signal ends the script? */
static int core_is_interrupt(lua_State *L)
{
	lua_pushboolean(L, mp_is_interrupt(L, 1));
	return 1;
}

static void run_handler(lua_State *L, mp_state *st, int sig)
{
	int top = lua_gettop(L);
	luaL_checkstack(L, 4, "signal handler");
	lua_rawgetp(L, LUA_REGISTRYINDEX, &handlers_key);
	if (lua_istable(L, -1) && lua_rawgeti(L, -1, sig) != LUA_TNIL) {
		lua_pushfstring(L, "SIG%s", name_of(sig));
		st->busy++;
		if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
			st->busy--;
			lua_error(L);
		}
		st->busy--;
	}
	lua_settop(L, top);
}

void mp_interrupt(lua_State *L, mp_state *st)
{
	if (st->thread) {  /* signals are the first one's */
		mp_thread_check(L, st);
		return;
	}
	mp_deadlock_check(L, st);
	for (int sig = 1; sig < NSIGNALS; sig++) {
		if (!table[sig].pending || table[sig].st != st)
			continue;
		table[sig].pending = 0;
		if (table[sig].script)
			run_handler(L, st, sig);  /* others stay pending if it raises */
		else
			raise_interrupt(L, st, sig);
	}
	st->signals = 0;
	for (int sig = 1; sig < NSIGNALS; sig++)
		if (table[sig].pending && table[sig].st == st)
			st->signals = 1;  /* it came meanwhile */
}

int mp_interrupted(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	return st->interrupted ? st->signal : 0;
}

/* ---- installing -------------------------------------------------------------------- */

/* Tells the runtime what it must know of them: somebody may signal one that
 * has handlers; which signal brings the owner to a safe point. */
void mp_signals_note(mp_state *st)
{
	uint32_t handlers = 0;
	if (!st->rt || !mp_runtime_mine(st->rt))
		return;
	for (int sig = 1; sig < NSIGNALS; sig++)
		handlers += table[sig].st == st && table[sig].script && !table[sig].quiet;
	atomic_store(&st->me->slot->handlers, handlers);
	if (st->rt->owner)
		atomic_store(&st->me->shm->h->nudge, table[NUDGE].st == st &&
		             !table[NUDGE].script ? NUDGE : 0);
}

static void take(mp_state *st, int sig, bool script, bool quiet)
{
	struct sigaction sa = { .sa_handler = script || sig != NUDGE ? on_signal : on_nudge };
	struct entry *e = &table[sig];
	/* Ours interrupt a read or a system(3) as well. */
	sa.sa_flags = script && !quiet ? SA_RESTART : 0;
	sigfillset(&sa.sa_mask);
	used |= UINT64_C(1) << (sig - 1);
	e->st = st;
	e->thread = pthread_self();
	e->script = script;
	e->quiet = quiet;
	e->pending = 0;
	sigaction(sig, &sa, e->saved ? NULL : &e->old);
	e->saved = true;
	if (st->rt)
		atomic_fetch_or(&st->rt->threads->signals, UINT64_C(1) << (sig - 1));
}

void mp_signals_install(mp_state *st)
{
	static const int mine[] = { SIGINT, SIGTERM, NUDGE };
	for (int i = 0; i < 3; i++) {
		struct sigaction now;
		sigaction(mine[i], NULL, &now);
		if (now.sa_handler != SIG_IGN || mine[i] == NUDGE)  /* nohup, a shell's background */
			take(st, mine[i], false, false);
	}
}

uint64_t mp_signals_mask(const mp_state *st)
{
	uint64_t mask = 0;
	for (int sig = 1; sig < NSIGNALS; sig++)
		if (table[sig].st == st)
			mask |= UINT64_C(1) << (sig - 1);
	return mask;
}

void mp_signals_child(mp_state *st)
{
	/* The rest is not even looked at: every page costs the child a fault. */
	for (; used; used &= used - 1)
		memset(&table[__builtin_ctzll(used) + 1], 0, sizeof *table);
	st->signals = 0;
	st->held = 0;
	st->interrupted = false;
}

void mp_signals_restore(mp_state *st)
{
	for (int sig = 1; sig < NSIGNALS; sig++) {
		if (table[sig].st != st)
			continue;
		table[sig].st = NULL;
		sigaction(sig, &table[sig].old, NULL);
		table[sig].saved = false;
	}
}

/* nil: mprun's own handler comes back where there is one, else the default. */
static void give_back(mp_state *st, int sig)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	table[sig].pending = 0;
	if (st->standalone && !st->child && (sig == SIGINT || sig == SIGTERM || sig == NUDGE)) {
		take(st, sig, false, false);
		return;
	}
	sigaction(sig, &sa, NULL);
	table[sig].st = NULL;
	table[sig].saved = false;
}

static int set_handler(lua_State *L, bool quiet)
{
	static const char call[] = "mp.on_signal";
	mp_state *st = mp_state_of(L);
	if (st->thread)
		mp_misuse(L, call, "signals are handled in the process's first thread; "
		          "call it there");
	if (lua_type(L, 1) != LUA_TSTRING)
		mp_misuse(L, call, "expected a signal's name, such as \"USR1\", got %s",
		          luaL_typename(L, 1));
	const char *name = lua_tostring(L, 1);
	int sig = number_of(name);
	if (!sig)
		mp_misuse(L, call, "no signal '%s'", name);
	if (sig == SIGKILL || sig == SIGSTOP)
		mp_misuse(L, call, "SIG%s cannot be caught", name_of(sig));
	if (!lua_isnoneornil(L, 2) && lua_type(L, 2) != LUA_TFUNCTION &&
	    luaL_getmetafield(L, 2, "__call") == LUA_TNIL)
		mp_misuse(L, call, "expected a function or nil, got %s", luaL_typename(L, 2));
	lua_settop(L, 2);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &handlers_key) != LUA_TTABLE) {
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &handlers_key);
		lua_replace(L, 3);
	}
	lua_pushvalue(L, 2);
	lua_rawseti(L, 3, sig);
	if (lua_isnil(L, 2))
		give_back(st, sig);
	else
		take(st, sig, true, quiet);
	mp_signals_note(st);
	return 0;
}

static int mp_on_signal(lua_State *L)
{
	return set_handler(L, false);
}

/* core.on_signal(name, f) -> whether it was set: not over a function of the
 * script's. As mp.on_signal, but a process that has only such handlers may be
 * found to wait in vain, and f interrupts a read. */
static int core_on_signal(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	int sig = number_of(luaL_checkstring(L, 1));
	const struct entry *e = &table[sig];
	bool free = !(e->st == st && e->script && !e->quiet);
	if (free)
		set_handler(L, true);
	lua_pushboolean(L, free);
	return 1;
}

/* core.signame(n) -> "SIGKILL" or "signal 42" */
static int core_signame(lua_State *L)
{
	int sig = (int)luaL_checkinteger(L, 1);
	const char *name = name_of(sig);
	if (name)
		lua_pushfstring(L, "SIG%s", name);
	else
		lua_pushfstring(L, "signal %d", sig);
	return 1;
}

void mp_open_signal(lua_State *L)
{
	lua_pushcfunction(L, mp_on_signal);
	lua_setfield(L, -2, "on_signal");
	lua_getfield(L, -1, "core");
	lua_pushcfunction(L, core_signame);
	lua_setfield(L, -2, "signame");
	lua_pushcfunction(L, core_on_signal);
	lua_setfield(L, -2, "on_signal");
	lua_pushcfunction(L, core_is_interrupt);
	lua_setfield(L, -2, "is_interrupt");
	lua_pop(L, 1);
}
