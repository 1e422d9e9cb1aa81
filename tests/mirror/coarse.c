/* A file system that keeps less of an mtime: what is asked of the C library to set one is changed on the way.
 * The file that AURORA_MTIMES names says how: a step in ns, and "down", "near", "up", or "none" to set nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int coarse(const struct timespec in[2], struct timespec out[2]) {
    long long step = 1, ns, more;
    char way[16] = "down";
    FILE *file = fopen(getenv("AURORA_MTIMES"), "r");
    if (file) {
        if (fscanf(file, "%lld %15s", &step, way) != 2) abort();
        fclose(file);
    }
    memcpy(out, in, 2 * sizeof *out);
    if (!strcmp(way, "none")) return 0;
    if (in[1].tv_nsec != UTIME_NOW && in[1].tv_nsec != UTIME_OMIT) {
        more = !strcmp(way, "near") ? step / 2 : !strcmp(way, "up") ? step - 1 : 0;
        ns = in[1].tv_sec * 1000000000LL + in[1].tv_nsec;
        ns = (ns + more) / step * step;
        out[1].tv_sec = ns / 1000000000LL;
        out[1].tv_nsec = ns % 1000000000LL;
    }
    return 1;
}

int utimensat(int at, const char *path, const struct timespec times[2], int flags) {
    struct timespec kept[2];
    int (*real)(int, const char *, const struct timespec[2], int) = dlsym(RTLD_NEXT, "utimensat");
    if (!times) return real(at, path, times, flags);
    return coarse(times, kept) ? real(at, path, kept, flags) : 0;
}

int futimens(int file, const struct timespec times[2]) {
    struct timespec kept[2];
    int (*real)(int, const struct timespec[2]) = dlsym(RTLD_NEXT, "futimens");
    if (!times) return real(file, times);
    return coarse(times, kept) ? real(file, kept) : 0;
}
