/* bind: what the bindings share: the state, handles, arguments, failures.
 *
 * One mp_state per lua_State, kept in its registry (so luaopen_mp is
 * idempotent). The runtime opens at the first object, not at `require`.
 * Bindings check arguments, call the core, push results; no decisions.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_BIND_H
#define MP_BIND_H

#include <lauxlib.h>
#include <lua.h>

#include "../codec/codec.h"
#include "../proc/runtime.h"

#ifndef MP_API
#define MP_API __attribute__((visibility("default")))
#endif

typedef struct mp_state {
	lua_State *L;              /* the main thread of the state; in a child, the target's */
	lua_State *running;        /* which coroutine called into us last; anchored */
	lua_State *resumed;        /* which one runs, NULL: none or unknown (protect.c) */
	mp_runtime *rt;
	mp_self *me;               /* NULL until the runtime is open, and once it is closed */
	mp_codec *codec;
	volatile int signals;      /* a signal waits for the next safe point */
	mp_aid watched;            /* a wait is interrupted when this actor is gone; 0: nobody */
	const _Atomic int64_t *leave;  /* ... or when this is positive; NULL: none */
	bool interrupted;          /* SIGINT or SIGTERM was raised as an error (standalone) */
	int signal;                /* which */
	bool hosted;               /* a host runs the script and gets its error: nothing is printed */
	bool fell;                 /* a deadlock was raised, and the script has not waited since */
	bool forced;               /* the end does not join processes: a deadlock ended the script */
	bool standalone;           /* mp_standalone was called: this is mprun */
	bool child;                /* started by us: ends by mp_state_exit, or as a thread */
	bool thread;               /* a thread's: in a process that it starts, it is not */
	bool leaving;              /* a thread's: os.exit was called */
	int status;                /* with this status, as wait(2) gives it */
	bool ending, ended;        /* the orderly end runs, is done */
	bool guarded;              /* closers exist: newer objects need a newer guard */
	int held;                  /* depth of calls that the script's handlers do not interrupt */
	int busy;                  /* depth of handlers that run inside a call of ours */
	mp_runtime_config cfg;
	struct mp_state *next;     /* in the list of open owners */
} mp_state;

/* An object as Lua sees it: one userdata a handle and state, with one user
 * value for its binding. */
typedef struct mp_ref {
	mp_state *st;
	mp_handle h;               /* 0: closed */
	void *body;
} mp_ref;

mp_state *mp_state_of(lua_State *L);
/* The actor, the runtime opened if need be. Raises "CALL: ..." when it cannot
 * be opened or this process was forked behind our back. */
mp_self *mp_state_self(lua_State *L, mp_state *st, const char *call);

/* Defines a type: metatable with methods (upvalue 1 of each is the metatable,
 * upvalue 2 the table of methods, which is __index unless that is given,
 * upvalue 3 the type) plus __gc, __close unless given, __name, __tostring;
 * called once a state. */
void mp_type_define(lua_State *L, enum mp_type type, const char *name, const luaL_Reg *methods);
/* Pushes the table of all types' methods, by the type's name. */
void mp_type_methods(lua_State *L);
/* Pushes the metatable of a type, or nil. */
void mp_type_push(lua_State *L, enum mp_type type);
/* Pushes the userdata of a handle: the one that exists, else a new one whose
 * holder bit is set. Raises if the object is gone. held: the bit is already
 * set and becomes the userdata's. */
void mp_ref_push(lua_State *L, mp_state *st, mp_handle h, bool held);
/* Argument 1 of a method whose upvalue 1 is the metatable; raises
 * "CALL: expected a Queue, got ..." or "CALL: this Queue is closed here". */
mp_ref *mp_ref_self(lua_State *L, const char *call);
/* Any argument as a reference of that type (MP_T_NONE: any), or NULL. */
mp_ref *mp_ref_test(lua_State *L, int idx, enum mp_type type);
/* For what makes an object, with its outcome: true if there was no room and
 * the garbage of this state was collected, so that it is to be tried again.
 * That is done once: *tried begins false. */
bool mp_make_room(lua_State *L, int rc, bool *tried);
/* Gives up the holder bit before the userdata is collected. */
void mp_ref_close(lua_State *L, mp_ref *r);

/* [block,] [timeout] at arg and arg+1. Returns the deadline (0: do not wait);
 * *nowait is set when the caller said block=false (then fail with "empty",
 * "full"). Raises for NaN, a negative or a non-number, naming the call. */
int64_t mp_arg_deadline(lua_State *L, int arg, const char *call, bool *nowait);
/* [timeout] alone. */
int64_t mp_arg_timeout(lua_State *L, int arg, const char *call);

/* A descriptor, a file (what was written to it is flushed), or anything with a
 * getfd or fileno method: its descriptor, which stays its owner's. Raises for
 * what is none or is closed, naming the call. */
int mp_arg_fd(lua_State *L, int arg, const char *call);

/* The method fileno of a type that can be waited for: a descriptor that is
 * readable while the object at index 1 is ready (bell.h). */
int mp_bell_fileno(lua_State *L, const char *call);

/* A positive outcome: pushes nil, reason; returns 2. MP_INTERRUPTED is not
 * for it (mp_interrupt). MP_NOMEM, MP_TOOBIG and a negative one raise
 * "CALL: ...". */
int mp_fail(lua_State *L, int rc, const char *call);
/* Runs what a signal asked for (handlers, the interrupt error), which may
 * raise; the caller then goes on with its wait. */
void mp_interrupt(lua_State *L, mp_state *st);

/* Raises "CALL: message" with position, formatted as lua_pushfstring does. */
_Noreturn void mp_misuse(lua_State *L, const char *call, const char *fmt, ...);

/* ---- a program's part -------------------------------------------------------- */

/* Marks the state as mprun's own: stdout writes whole lines, SIGINT and
 * SIGTERM end the script in order, orphans are ours. Before the first object.
 * Idempotent; Lua has it as core.standalone(). */
void mp_standalone(lua_State *L);
/* The orderly end of the state's main process: closers (mp.atexit), then its
 * processes, then the runtime. Happens by itself in lua_close, os.exit and
 * exit(3); idempotent. Raises nothing. */
void mp_state_end(lua_State *L);
/* The same in a process that we started; never returns. */
_Noreturn void mp_state_exit(lua_State *L, mp_state *st, int status);
/* The signal by which the script was interrupted, 0: it was not. */
int mp_interrupted(lua_State *L);

/* ---- between the files of bindings --------------------------------------------- */

#define MP_EXIT_DEADLOCK 3                 /* exit status after one */

/* The status of os.exit's first argument. */
int mp_exit_status_of(lua_State *L);
/* Runs the script's closers; what goes wrong in one they report themselves. */
void mp_exit_closers(lua_State *L);
/* The runtime's hooks are this state's. */
void mp_state_hooks(mp_state *st);
/* Notes which coroutine runs, for handlers and reports. */
void mp_state_runs(lua_State *L, mp_state *st);
/* os.exit in a thread: unwinds. */
_Noreturn void mp_thread_exit(lua_State *L, mp_state *st, int status);
/* Shall it end? Then raises what unwinds it. */
void mp_thread_check(lua_State *L, mp_state *st);
/* A forked child of the thread: it is one no more. */
void mp_thread_forked(lua_State *L, mp_state *st);
/* Raises the table on top as an error that tostring gives as its message. */
_Noreturn void mp_raise_object(lua_State *L);
/* Is that value the error by which SIGINT or SIGTERM ends the script? */
bool mp_is_interrupt(lua_State *L, int idx);
/* Raises it, on top of the stack, past the script's handlers (protect.c). */
_Noreturn void mp_pass_interrupt(lua_State *L);
/* Gives the script a pcall, and its like, that let it pass. */
void mp_protect_install(lua_State *L);
/* Raises, in the owner, what mp_deadlock_found has found. */
void mp_deadlock_check(lua_State *L, mp_state *st);
/* Prints a report that was found where there is no Lua any more. */
void mp_deadlock_print(mp_state *st);
void mp_signals_note(mp_state *st);        /* they changed, or the runtime was opened */
void mp_signals_install(mp_state *st);     /* SIGINT and SIGTERM of mprun */
void mp_signals_child(mp_state *st);       /* forgets the creator's */
void mp_signals_restore(mp_state *st);     /* the state goes away */
uint64_t mp_signals_mask(const mp_state *st);
void mp_open_signal(lua_State *L);
void mp_open_exit(lua_State *L);
void mp_exit_opened(mp_state *st);         /* the runtime was opened by this process */
void mp_exit_guard(lua_State *L);          /* see exit.c */
const char *mp_bind_version(void);
/* Pushes one of our Lua modules, by name. */
void mp_module_push(lua_State *L, const char *name);

/* The opener of each file of bindings: adds its functions to the table at
 * the stack's top (the module), defines its types. Internals go to its field
 * `core`, which is the module mp.core. */
void mp_open_process(lua_State *L);
void mp_open_thread(lua_State *L);
void mp_open_queue(lua_State *L);
void mp_open_pipe(lua_State *L);
void mp_open_lock(lua_State *L);
void mp_open_rlock(lua_State *L);
void mp_open_condition(lua_State *L);
void mp_open_event(lua_State *L);
void mp_open_value(lua_State *L);
void mp_open_array(lua_State *L);
void mp_open_buffer(lua_State *L);
void mp_open_semaphore(lua_State *L);
void mp_open_barrier(lua_State *L);
void mp_open_fd(lua_State *L);
void mp_open_dict(lua_State *L);
void mp_open_list(lua_State *L);
void mp_open_text(lua_State *L);   /* internals for flows: core.text */
void mp_open_tally(lua_State *L);  /* internals for flows: core.tally */
void mp_open_link(lua_State *L);   /* internals for flows: core.link, core.commit */
void mp_open_lease(lua_State *L);  /* ... Queue:lease, core.keep, ... */
void mp_open_wait(lua_State *L);
void mp_open_task(lua_State *L);   /* internals for pools: core.task_put, ... */
void mp_open_work(lua_State *L);
void mp_open_chunk(lua_State *L);
void mp_open_command(lua_State *L);
void mp_open_terminal(lua_State *L);
void mp_open_file(lua_State *L);   /* internals for flows: core.stat, core.glob, ... */
void mp_open_json(lua_State *L);   /* ... core.json_write, core.json_read */
void mp_open_crash(lua_State *L);

#endif
