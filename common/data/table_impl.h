/* Between table.c and table_text.c. */
#ifndef DATA_TABLE_IMPL_H
#define DATA_TABLE_IMPL_H

#include "common/data/table.h"

/* A value that lives as long as the table. */
char *table_add_text(struct table *t, const char *at, size_t len);
void table_add_name(struct table *t, const char *at, size_t len);

#endif
