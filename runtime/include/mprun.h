/* mprun.h: run Lua scripts and pipelines on several processes, from C or C++.
 *
 * Rules:
 * 1. Every call that can fail returns 0, a positive expected outcome (enum
 *    below), or a negative error: -errno, or one of MP_ESYNTAX, MP_ESCRIPT.
 *    mp_errmsg says what went wrong and where. Nothing here calls abort or
 *    exit, prints (but see mp_close), or installs a signal handler. (What the
 *    script itself does with print or os.exit is the script's.)
 * 2. Input is copied: no argument need outlive its call.
 * 3. mp_close frees everything and ends every process of the runtime. Strings
 *    that a call returns are borrowed from the runtime.
 * 4. Threads: different runtimes may be used in different threads; one runtime
 *    by one thread at a time, the one that opened it. Processes are made by
 *    fork: a script that starts some must run before the host has other
 *    threads. What may be called from anywhere says so.
 * 5. After a fork made by the host, the child must not use the runtime.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MPRUN_H
#define MPRUN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MP_API __attribute__((visibility("default")))
#else
#define MP_API
#endif

#define MP_VERSION "0.1.0"

#ifndef MP_STATUS_H  /* inside the library its own header has the same list */
#define MP_STATUS_H
enum {
	MP_OK = 0,
	MP_TIMEOUT,      /* the deadline passed */
	MP_EMPTY,        /* nothing there, and the caller would not wait */
	MP_FULL,         /* no room, and the caller would not wait */
	MP_EOF,          /* nobody holds the other end any more */
	MP_CLOSED,       /* closed (for a reader: and drained) */
	MP_ABANDONED,    /* acquired; the last holder died holding it */
	MP_INTERRUPTED,  /* a signal or mp_stop asked the wait to end */
	MP_NOMEM,        /* shared memory is full at the moment */
	MP_TOOBIG        /* can never fit into shared memory */
};
#endif

/* Errors that have no errno; below all of those. */
#define MP_ESYNTAX (-5001)  /* the script cannot be compiled */
#define MP_ESCRIPT (-5002)  /* the script or one of its flows failed */

typedef struct mp_rt mp_rt;

/* An allocator as Lua has it: osize is the old size (or, with ptr NULL, a kind
 * of object); nsize 0 frees and cannot fail; NULL means no memory. */
typedef void *mp_alloc(void *ud, void *ptr, size_t osize, size_t nsize);

/* How to open a runtime. Always filled by mp_config_init first: then a program
 * built with an older header works with a newer library. */
typedef struct mp_config {
	size_t size;            /* sizeof(mp_config) as the host was compiled */
	mp_alloc *alloc;        /* for the Lua state and the runtime's private
	                         * memory; NULL: malloc */
	void *alloc_ud;
	size_t memory;          /* limit of shared memory in bytes; 0: chosen */
	unsigned processes;     /* most processes at a time; 0: chosen */
} mp_config;

/* "MAJOR.MINOR.PATCH" of the library, static. Any thread. */
MP_API const char *mp_version(void);

/* What a result code means, in a few words; static. Any thread. */
MP_API const char *mp_strerror(int code);

/* Fills *cfg with the defaults; size is sizeof *cfg. */
MP_API void mp_config_init(mp_config *cfg, size_t size);

/* Opens a runtime: a Lua state with the standard libraries and `mp`. cfg may be
 * NULL. On success *rt is the runtime, to be given to mp_close; on error *rt is
 * NULL, and mp_errmsg(NULL) in this thread says more.
 * -EINVAL: cfg not from mp_config_init; -E2BIG: cfg has settings that this
 * library does not know; -ENOMEM. Does not block. */
MP_API int mp_open(mp_rt **rt, const mp_config *cfg);

/* Frees the runtime: finalizers run, ordinary processes are joined (this may
 * block as long as they run), all others are ended. Processes that wait for
 * what nobody is left to do are reported to stderr and ended, too. NULL is
 * allowed. Not to be called from inside a function that the runtime called. */
MP_API void mp_close(mp_rt *rt);

/* The message of the last call that failed, "" if none did; for a script's
 * error with its traceback. Borrowed until the next call with rt. rt NULL: why
 * this thread's last mp_open failed. */
MP_API const char *mp_errmsg(mp_rt *rt);

/* Loads a script, text or precompiled, and keeps it for mp_run, in place of one
 * loaded before. path NULL: standard input. Blocks as reading the file does.
 * MP_ESYNTAX: mp_errmsg has file:line; -ENOENT, -EISDIR, -EACCES, -EIO …: it
 * cannot be read; -ENOMEM. */
MP_API int mp_load_file(mp_rt *rt, const char *path);

/* The same for len bytes in memory. name stands in messages: "=demo" gives
 * `demo:1:`, "@demo.lua" is a file's name, anything else is shown as a quoted
 * piece of source; NULL is "=(string)". MP_ESYNTAX, -ENOMEM. */
MP_API int mp_load_string(mp_rt *rt, const char *src, size_t len,
                          const char *name);

/* The script's arguments: argv[0], its name, becomes arg[0], the others arg[1]
 * and so on, and `...` of the script. Without it `arg` is an empty table.
 * -ENOMEM. */
MP_API int mp_args(mp_rt *rt, int argc, const char *const *argv);

/* Sets an option before mp_run. name is "stage.option" ("fetch.retry", "5"), as
 * with `mprun -o`, or one of
 *   memory     limit of shared memory: bytes, or with K, M, G, T behind
 *   processes  most processes at a time
 *   jobs       what the word cpu means in a flow
 *   check      yes: check the script's flows instead of running them
 *   graph      dot, svg or text: draw them instead
 *   summary    yes, no: a table at the end
 *   bar        yes, no: live progress
 *   standalone yes: the program is there for the script alone, as mprun is;
 *              the runtime may then handle SIGINT and adopt its orphans
 *   program    the path of the program, becomes arg[-1]
 * The last value given wins. -EINVAL: no such name, or not a value for it. */
MP_API int mp_set(mp_rt *rt, const char *name, const char *value);

/* Runs the loaded script, and then the flows that it declared and did not run
 * by itself. Blocks until all is done. The script is forgotten then.
 * 0: done, exit status 0; MP_ESCRIPT: an error in the script or in a flow, or
 * another exit status than 0: mp_exit_status has it, mp_errmsg the message
 * ("" if it has been reported already); -EINVAL: no script was loaded. When
 * processes wait for what only each other could do, the script gets an error
 * whose message, here mp_errmsg, is the report; a script is not interrupted
 * where the host has threads, for they might do it. */
MP_API int mp_run(mp_rt *rt);

/* The exit status that the last mp_run wants for the program: 0 all done; 1 an
 * error in the script or a stage; 2 a bad flow; 3 a deadlock; 130, 143
 * interrupted. */
MP_API int mp_exit_status(const mp_rt *rt);

#ifdef __cplusplus
}
#endif

#endif
