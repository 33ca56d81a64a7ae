/* command: a shell command that runs beside us, and the pipes to it.
 *
 * `/bin/sh -c TEXT` in a session, and so a process group, of its own, without a
 * terminal; its signals as a program expects them; its stdout and stderr are
 * pipes to us, its stdin is one or /dev/null. A command belongs to the actor that
 * started it, and to that thread.
 *
 * What it prints and what it is given move together: nobody waits for a pipe
 * that the other one does not empty, however much there is. Waits are ours, so
 * they are interrupted and sliced as all are.
 *
 * It has ended when the shell has, and nobody has its stdout or stderr any more: what
 * works on behind the shell's back is not cut short. Who has neither is killed.
 *
 * Invariant: its number is not reaped while the struct says pid, so that it
 * cannot be another's; in->left == 0 when in is closed.
 * Crash: the group stands in the actor's slot (groups) before the shell's first
 * instruction, and until it is killed or reaped. Who sweeps the dead actor kills
 * the group, and the keeper does so for all when the owner has ended. The shell
 * itself dies with us by PR_SET_PDEATHSIG, whoever is left to sweep. What survives:
 * processes that left the group (setsid), and those of another user.
 * In a host that ignores SIGCHLD, nobody knows how a command ended.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_COMMAND_H
#define MP_COMMAND_H

#include "runtime.h"

/* How to start it. */
enum { MP_COMMAND_INPUT = 1,  /* its stdin is ours to write; else /dev/null */
       MP_COMMAND_HOLD = 2 }; /* its stderr is passed on when it has ended with 0, and
                                 only then; else as it comes, line by line */

#define MP_COMMAND_TAIL 2048  /* so much of the end of stderr is kept */

typedef struct mp_text {
	char *data;
	size_t len, cap;
} mp_text;

typedef struct mp_command {
	mp_runtime *rt;
	pid_t pid;                 /* the shell's, and its group's number; 0: it has ended */
	unsigned how;
	int in, out, err;          /* our ends; -1: closed */
	int pidfd;                 /* -1: not needed yet, or none to be had */
	int status;                /* as wait(2) gives it; -1: it was killed, or nobody knows */
	const char *input;         /* not written yet */
	size_t left;
	mp_text output;            /* not taken yet: who takes it sets len to 0 */
	mp_text said;              /* on stderr, not passed on yet */
	char tail[MP_COMMAND_TAIL];
	size_t ntail;
	struct mp_command *next;   /* in rt->commands */
} mp_command;

/* Starts it. c stays where it is until mp_command_free. 0; -E2BIG: the text is
 * longer than an argument may be; -EAGAIN: too many processes; -EBUSY: this actor
 * runs MP_GROUPS commands; -EMFILE, -ENOENT (no /bin/sh), -ENOMEM, -errno. */
int mp_command_start(mp_runtime *rt, mp_command *c, const char *text, unsigned how);

/* Gives it n bytes, which stay the caller's and must stay there; left is 0. */
void mp_command_feed(mp_command *c, const char *bytes, size_t n);
/* Writes what is left, and reads what is there; waits only to write. MP_OK: all
 * is written; MP_FULL: take the output, then go on; MP_CLOSED: it takes no more
 * (the rest is forgotten); MP_INTERRUPTED; -errno. */
int mp_command_exchange(mp_command *c);
/* Ends its input when all is written, and waits for output. MP_OK: there is
 * some; MP_EOF: that was all, it has ended: see status; MP_INTERRUPTED; -errno. */
int mp_command_finish(mp_command *c);
/* Has the shell ended? (Its output may not.) */
bool mp_command_ended(mp_command *c);
/* Kills its group and forgets what it printed. Idempotent, as all that follow. */
void mp_command_kill(mp_command *c);
/* The same, and frees what it has. */
void mp_command_free(mp_command *c);

/* All of an actor: at its end. */
void mp_commands_kill(mp_runtime *rt);
/* In a forked child, which has its creator's pipes: closes them. fds is held. */
void mp_commands_forget(mp_runtime *rt);

#endif
