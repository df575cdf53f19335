/*
 * Objects and actions as a stream of bytes: what `booth export` writes and `booth import` reads,
 * through a pipe, ssh, or a file. Numbers are little-endian.
 *
 *	booth stream 1, store format 1\n     the magic line
 *	record ...                              objects, tables, actions, kept ones, in this order
 *	record of type 'e'                      the end; nothing may follow
 *
 * A record:
 *	u8 type  u8 zero[3]  char stage[24]  u8 id[16]  u64 length
 *	                                        the head, 52 bytes
 *	u8 check[8]                             begin of the hash of the head
 *	u8 payload[length]
 *	u8 check[16]                            hash of head and payload
 *
 *	'o' object    id: its name; payload: its value as it lies in a store (store_pack.h)
 *	'a' action    id: its key; payload: its record as it lies in a store
 *	'k' keep      id: of a result that the sender named; payload: "name TARGET" if it has one,
 *	              then lines STAGE/HEX, the results of the stages that led to it. The
 *	              receiver's gc keeps them all until --unkeep
 *	'e' end       id: hash of the checks of all records; payload: u64, their number
 *
 * Hashes are xxh3-128 as of files from outside. Every byte is under one, and a head is checked
 * before its length is believed, so a damaged or truncated stream is noticed at the record at
 * which it happened; records before it are whole, and each is of use by itself. Memory is bounded
 * by the largest record: an object is below 1 GiB.
 *
 * Another version of the stream or of the store's format is refused by the magic line.
 */
#ifndef DATA_STREAM_H
#define DATA_STREAM_H

#include <stdint.h>
#include <stdio.h>
#include "common/data/store.h"

#define STREAM_VERSION 1

struct stream_record {
	char type;
	char stage[STAGE_NAME];
	struct oid id;
	const void *at;
	size_t len;
	void *own;              /* of one that was read; stream_release */
};
void stream_release(struct stream_record *r);

struct stream {                 /* one end; {0} before begin, nothing to release after end */
	FILE *file;
	struct oid_state *all;  /* of the checks */
	uint64_t records;
	int64_t bytes;
};

int stream_begin(struct stream *s, FILE *to, struct err *e);
int stream_write(struct stream *s, const struct stream_record *r, struct err *e);
int stream_end(struct stream *s, struct err *e);        /* writes the end and flushes */

int stream_open(struct stream *s, FILE *from, struct err *e);
/* 1 the next record, 0 the end (all of it was right), -1 damaged, truncated, of another version */
int stream_read(struct stream *s, struct stream_record *out, struct err *e);

void stream_close(struct stream *s);    /* after a failure; after the end it does nothing */

#endif
