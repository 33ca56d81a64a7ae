/* cell: the queue's cells and segments, as they lie in the arena; queue.h has
 * the argument. The allocator's sweep reads them as well: whether a block is
 * referred to depends on the state of the cell that refers to it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CELL_H
#define MP_CELL_H

#include "../shm/layout.h"

#define MP_INLINE 48u
#define MP_CELLS  64u

/* A cell's state word: state << 28 | aid. */
#define MP_CELL_SHIFT 28
enum { MP_CELL_EMPTY, MP_CELL_READY, MP_CELL_LEASED, MP_CELL_LEASED_TXN, MP_CELL_DONE };

enum { MP_CELL_LISTS = 1 };  /* flag: the bytes begin with a list of handles */

typedef struct mp_cell {
	mp_word state;
	uint32_t len;                /* bytes, the handle list included */
	mp_word ref;                 /* its block, in units of 64 bytes; 0: inline */
	uint8_t flags;
	uint8_t tries;               /* deliveries so far; 255: or more */
	uint16_t label;
	unsigned char data[MP_INLINE];
} mp_cell;
_Static_assert(sizeof(mp_cell) == 64, "a cell is one line");

typedef struct mp_seg {
	_Atomic uint64_t next;       /* offset of the next segment, 0: none yet */
	uint64_t base;               /* sequence number of its first cell */
	uint32_t ndone;              /* hint, under the head latch */
	uint32_t pad[11];
	mp_cell cells[MP_CELLS];
} mp_seg;

#endif
