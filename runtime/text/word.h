/* word: the words of a text, one after another.
 *
 * A word is a run of letters, digits and `_`; bytes beyond ASCII are letters.
 * No locale is asked. A text is looked at in blocks of 64 bytes: a bit for each
 * byte says whether it belongs to a word, and where that changes a word begins or
 * ends, so that a word costs two steps and not two guesses.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_WORD_H
#define MP_WORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MP_WORD_BLOCK = 64 };

extern const uint8_t mp_word_byte[256];   /* 1: it belongs to a word */

typedef struct mp_words {
	const char *text;
	size_t len;
	size_t block, next;   /* where the block in hand begins, and the one after it */
	uint64_t edges;       /* of the block: where a word begins or ends */
	uint64_t inside;      /* 1: its last byte belongs to a word */
} mp_words;

static inline mp_words mp_words_of(const char *text, size_t len, size_t at)
{
	return (mp_words){ .text = text, .len = len, .next = at };
}

static inline void mp_words_read(mp_words *w)
{
	char rest[MP_WORD_BLOCK] = { 0 };
	const char *s = w->text + w->next;
	size_t left = w->len - w->next;
	uint64_t bits = 0;
	if (left < MP_WORD_BLOCK)
		s = memcpy(rest, s, left);
	for (unsigned i = 0; i < MP_WORD_BLOCK; i++)
		bits |= (uint64_t)mp_word_byte[(unsigned char)s[i]] << i;
	w->edges = bits ^ (bits << 1 | w->inside);
	w->inside = bits >> (MP_WORD_BLOCK - 1);
	w->block = w->next;
	w->next += MP_WORD_BLOCK;
}

static inline bool mp_words_edge(mp_words *w, size_t *at)
{
	while (!w->edges) {
		if (w->next >= w->len)
			return false;
		mp_words_read(w);
	}
	*at = w->block + (size_t)__builtin_ctzll(w->edges);
	w->edges &= w->edges - 1;
	return true;
}

/* The next word is text[*from, *to); false: there is none. */
static inline bool mp_words_next(mp_words *w, size_t *from, size_t *to)
{
	if (!mp_words_edge(w, from))
		return false;
	if (!mp_words_edge(w, to))
		*to = w->len;
	return true;
}

#endif
