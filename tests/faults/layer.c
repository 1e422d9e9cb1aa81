/* Faults below a program: what it asks of the C library fails, or is answered as another file system answers it.
 *
 * Loaded with LD_PRELOAD. FAULTS names a file of one `struct control`, which all processes share and a test writes to
 * (tests/faults/layer.py has the same structure). Only paths below `root` are concerned. Each call that changes
 * something is an "operation": it may be written to a log, and an armed fault lets some of them fail.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH_BYTES 4096

struct control {
    int64_t step_ns;        /* mtimes are stored as multiples of it; 1: all ns; 0: they are not stored */
    int32_t rounding;       /* 0 down, 1 near, 2 up */
    int32_t no_links, no_locks, no_exchange, exchange_is_rename, realms;
    /* the armed fault: an errno, for calls whose operation and path match, after `skip` of them, `count` times */
    int32_t error, skip, count, hits;
    int32_t is_logging, reserved;
    char root[512];
    char operation[32];     /* patterns of fnmatch(3) */
    char path[1024];
    char log[512];
    char realm[8][512];     /* a rename or link between two of them, or out of one, gives EXDEV */
    char quota[512];        /* a directory with the extended attributes of a quota of CephFS */
    int64_t quota_bytes, used_bytes;
};

static struct control *control;

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); real; })

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAULTS");
    int file = name ? syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (shared != MAP_FAILED) control = shared;
}

/* The absolute path of `path` relative to the directory `at`, or of the open file `at` without a path. */
static const char *whole(int at, const char *path, char *buffer) {
    char link[64];
    ssize_t length;
    if (path && path[0] == '/') return path;
    if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_BYTES - 1);
    if (length < 0) length = 0;
    buffer[length] = 0;
    if (path && path[0]) snprintf(buffer + length, PATH_BYTES - length, "/%s", path);
    return buffer;
}

static int is_below(const char *path, const char *directory) {
    size_t length = strlen(directory);
    return length && !strncmp(path, directory, length) && (path[length] == '/' || !path[length]);
}

/* Whether the operation on `path` fails; errno is set then. */
static int fails(const char *operation, const char *path) {
    if (!control || !is_below(path, control->root)) return 0;
    if (control->is_logging) {
        char line[PATH_BYTES + 64], name[32] = "";
        int log = syscall(SYS_openat, AT_FDCWD, control->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        int comm = syscall(SYS_openat, AT_FDCWD, "/proc/self/comm", O_RDONLY | O_CLOEXEC);
        ssize_t length = comm < 0 ? 0 : syscall(SYS_read, comm, name, sizeof name - 1);
        if (length > 0) name[length - 1] = 0;
        length = snprintf(line, sizeof line, "%s\t%s\t%s\n", name, operation, path);
        if (log >= 0) syscall(SYS_write, log, line, length < (ssize_t)sizeof line ? length : (ssize_t)sizeof line - 1);
        syscall(SYS_close, log);
        syscall(SYS_close, comm);
    }
    if (!control->error || fnmatch(control->operation, operation, 0) || fnmatch(control->path, path, 0)) return 0;
    int hit = __atomic_fetch_add(&control->hits, 1, __ATOMIC_SEQ_CST);
    if (hit < control->skip || hit >= control->skip + control->count) return 0;
    errno = control->error;
    return 1;
}

static int fails_at(const char *operation, int at, const char *path) {
    char buffer[PATH_BYTES];
    if (!control || (!control->error && !control->is_logging)) return 0;
    return fails(operation, whole(at, path, buffer));
}

static int realm_of(const char *path) {
    int best = -1;
    size_t length = 0;
    for (int n = 0; n < 8; n++)
        /* An entry belongs to the directory that holds it: a realm's own name is in the realm above. */
        if (is_below(path, control->realm[n]) && path[strlen(control->realm[n])] && strlen(control->realm[n]) > length) {
            best = n;
            length = strlen(control->realm[n]);
        }
    return best;
}

static int fails_between(const char *operation, int from_at, const char *from, int to_at, const char *to) {
    char from_buffer[PATH_BYTES], to_buffer[PATH_BYTES];
    if (!control) return 0;
    from = whole(from_at, from, from_buffer);
    to = whole(to_at, to, to_buffer);
    if (control->realms && realm_of(from) != realm_of(to)) {
        errno = EXDEV;
        return 1;
    }
    return fails(operation, to);
}

/* -- mtimes ------------------------------------------------------------------------------------------------------- */

static int64_t coarse(int64_t ns) {
    int64_t step = control->step_ns, more = control->rounding == 1 ? step / 2 : control->rounding == 2 ? step - 1 : 0;
    return (ns + more) / step * step;
}

static int stores(int at, const char *path, const struct timespec in[2], struct timespec out[2]) {
    char buffer[PATH_BYTES];
    memcpy(out, in, 2 * sizeof *out);
    if (!control || control->step_ns == 1 || !is_below(whole(at, path, buffer), control->root)) return 1;
    if (control->step_ns == 0) return 0;
    if (in[1].tv_nsec != UTIME_NOW && in[1].tv_nsec != UTIME_OMIT) {
        int64_t ns = coarse(in[1].tv_sec * 1000000000LL + in[1].tv_nsec);
        out[1].tv_sec = ns / 1000000000LL;
        out[1].tv_nsec = ns % 1000000000LL;
    }
    return 1;
}

int utimensat(int at, const char *path, const struct timespec times[2], int flags) {
    struct timespec kept[2];
    if (fails_at("utime", at, path)) return -1;
    if (!times) return REAL(utimensat)(at, path, times, flags);
    return stores(at, path, times, kept) ? REAL(utimensat)(at, path, kept, flags) : 0;
}

int futimens(int file, const struct timespec times[2]) {
    struct timespec kept[2];
    if (fails_at("utime", file, NULL)) return -1;
    if (!times) return REAL(futimens)(file, times);
    return stores(file, NULL, times, kept) ? REAL(futimens)(file, kept) : 0;
}

/* A file that was only written has the kernel's mtime; what is read of it is coarse too. */
static int shown(int code, int at, const char *path, struct stat *status) {
    char buffer[PATH_BYTES];
    if (code || !control || control->step_ns <= 1 || !is_below(whole(at, path, buffer), control->root)) return code;
    int64_t ns = coarse(status->st_mtim.tv_sec * 1000000000LL + status->st_mtim.tv_nsec);
    status->st_mtim.tv_sec = ns / 1000000000LL;
    status->st_mtim.tv_nsec = ns % 1000000000LL;
    return code;
}

int stat(const char *path, struct stat *status) {
    if (fails_at("stat", AT_FDCWD, path)) return -1;
    return shown(REAL(stat)(path, status), AT_FDCWD, path, status);
}
int lstat(const char *path, struct stat *status) {
    if (fails_at("stat", AT_FDCWD, path)) return -1;
    return shown(REAL(lstat)(path, status), AT_FDCWD, path, status);
}
int fstat(int file, struct stat *status) { return shown(REAL(fstat)(file, status), file, NULL, status); }
int fstatat(int at, const char *path, struct stat *status, int flags) {
    if (fails_at("stat", at, path)) return -1;
    return shown(REAL(fstatat)(at, path, status, flags), at, path, status);
}
int stat64(const char *path, struct stat64 *status) { return stat(path, (struct stat *)status); }
int lstat64(const char *path, struct stat64 *status) { return lstat(path, (struct stat *)status); }
int fstat64(int file, struct stat64 *status) { return fstat(file, (struct stat *)status); }
int fstatat64(int at, const char *path, struct stat64 *status, int flags) {
    return fstatat(at, path, (struct stat *)status, flags);
}

/* -- opening, writing, reading ------------------------------------------------------------------------------------ */

static int open_file(int at, const char *path, int flags, mode_t mode) {
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    const char *operation = writes ? "create" : flags & O_DIRECTORY ? "enter" : "open";
    if (fails_at(operation, at, path)) return -1;
    return syscall(SYS_openat, at, path, flags, mode);
}

#define MODE(flags) ({ va_list list; va_start(list, flags); mode_t mode = (flags) & (O_CREAT | __O_TMPFILE) ? va_arg(list, mode_t) : 0; va_end(list); mode; })
int open(const char *path, int flags, ...) { return open_file(AT_FDCWD, path, flags, MODE(flags)); }
int open64(const char *path, int flags, ...) { return open_file(AT_FDCWD, path, flags | O_LARGEFILE, MODE(flags)); }
int openat(int at, const char *path, int flags, ...) { return open_file(at, path, flags, MODE(flags)); }
int openat64(int at, const char *path, int flags, ...) { return open_file(at, path, flags | O_LARGEFILE, MODE(flags)); }
int __open_2(const char *path, int flags) { return open_file(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_file(AT_FDCWD, path, flags | O_LARGEFILE, 0); }
int __openat_2(int at, const char *path, int flags) { return open_file(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return open_file(at, path, flags | O_LARGEFILE, 0); }

ssize_t write(int file, const void *data, size_t size) {
    return fails_at("write", file, NULL) ? -1 : REAL(write)(file, data, size);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails_at("write", file, NULL) ? -1 : REAL(writev)(file, parts, count);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
    return fails_at("write", file, NULL) ? -1 : REAL(pwrite)(file, data, size, offset);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) { return pwrite(file, data, size, offset); }
ssize_t read(int file, void *data, size_t size) {
    return fails_at("read", file, NULL) ? -1 : REAL(read)(file, data, size);
}
ssize_t pread(int file, void *data, size_t size, off_t offset) {
    return fails_at("read", file, NULL) ? -1 : REAL(pread)(file, data, size, offset);
}
ssize_t pread64(int file, void *data, size_t size, off64_t offset) { return pread(file, data, size, offset); }
int fsync(int file) { return fails_at("flush", file, NULL) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return fails_at("flush", file, NULL) ? -1 : REAL(fdatasync)(file); }
int ftruncate(int file, off_t size) { return fails_at("truncate", file, NULL) ? -1 : REAL(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { return ftruncate(file, size); }
ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    return fails_at("write", to, NULL) ? -1 : REAL(sendfile)(to, from, offset, size);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) { return sendfile(to, from, offset, size); }
ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size, unsigned flags) {
    if (fails_at("write", to, NULL)) return -1;
    return REAL(copy_file_range)(from, from_offset, to, to_offset, size, flags);
}

/* -- names -------------------------------------------------------------------------------------------------------- */

int mkdirat(int at, const char *path, mode_t mode) {
    return fails_at("mkdir", at, path) ? -1 : REAL(mkdirat)(at, path, mode);
}
int mkdir(const char *path, mode_t mode) {
    return fails_at("mkdir", AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode);
}
int unlinkat(int at, const char *path, int flags) {
    return fails_at("remove", at, path) ? -1 : REAL(unlinkat)(at, path, flags);
}
int unlink(const char *path) { return fails_at("remove", AT_FDCWD, path) ? -1 : REAL(unlink)(path); }
int rmdir(const char *path) { return fails_at("remove", AT_FDCWD, path) ? -1 : REAL(rmdir)(path); }
int rename(const char *from, const char *to) {
    return fails_between("rename", AT_FDCWD, from, AT_FDCWD, to) ? -1 : REAL(rename)(from, to);
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
    return fails_between("rename", from_at, from, to_at, to) ? -1 : REAL(renameat)(from_at, from, to_at, to);
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char buffer[PATH_BYTES];
    int is_ours = control && is_below(whole(to_at, to, buffer), control->root);
    if (fails_between(flags & RENAME_EXCHANGE ? "exchange" : "rename", from_at, from, to_at, to)) return -1;
    if (is_ours && flags & RENAME_EXCHANGE && control->no_exchange) {
        errno = control->no_exchange;
        return -1;
    }
    if (is_ours && flags & RENAME_EXCHANGE && control->exchange_is_rename) flags = 0;
    return REAL(renameat2)(from_at, from, to_at, to, flags);
}
static int fails_to_link(int from_at, const char *from, int to_at, const char *to) {
    char buffer[PATH_BYTES];
    if (fails_between("link", from_at, from, to_at, to)) return 1;
    if (!control || !control->no_links || !is_below(whole(to_at, to, buffer), control->root)) return 0;
    errno = control->no_links;
    return 1;
}
int link(const char *from, const char *to) {
    return fails_to_link(AT_FDCWD, from, AT_FDCWD, to) ? -1 : REAL(link)(from, to);
}
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    return fails_to_link(from_at, from, to_at, to) ? -1 : REAL(linkat)(from_at, from, to_at, to, flags);
}

/* -- locks and quotas --------------------------------------------------------------------------------------------- */

int flock(int file, int how) {
    char buffer[PATH_BYTES];
    if (fails_at("lock", file, NULL)) return -1;
    if (control && control->no_locks && !(how & LOCK_UN) && is_below(whole(file, NULL, buffer), control->root)) {
        errno = control->no_locks;
        return -1;
    }
    return REAL(flock)(file, how);
}

ssize_t getxattr(const char *path, const char *name, void *value, size_t size) {
    if (control && control->quota[0] && !strncmp(name, "ceph.", 5)) {
        char text[32];
        int64_t bytes = !strcmp(path, control->quota) ? control->quota_bytes : 0;
        if (!strcmp(name, "ceph.dir.rbytes")) bytes = control->used_bytes;
        else if (strcmp(name, "ceph.quota.max_bytes") || !bytes) {
            errno = ENODATA;
            return -1;
        }
        int length = snprintf(text, sizeof text, "%lld", (long long)bytes);
        if (size && size < (size_t)length) {
            errno = ERANGE;
            return -1;
        }
        if (size) memcpy(value, text, length);
        return length;
    }
    return REAL(getxattr)(path, name, value, size);
}
