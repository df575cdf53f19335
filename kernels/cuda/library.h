/*
 * NVIDIA's libraries are looked for at run time: in the folders of BOOTH_CUDA_PATH (':' between them; a
 * folder may be a toolkit's, or a Python's site-packages), as the system finds libraries, and where
 * toolkits and Python's packages (nvidia/.../lib) usually are.
 */
#ifndef CUDA_LIBRARY_H
#define CUDA_LIBRARY_H

/* dlopen's handle, or NULL. */
void *library_open(const char *name);
/* Will library_open find something? Without loading it, where that can be told. */
int library_exists(const char *name);

#endif
