/* What a process sees of its disk, of the calendar and of names, by LD_PRELOAD. What is wrong stands in a file of a few
 * numbers (struct wrong) that SWIMSTREAM_MASK names; it is mapped, so a change is there at once. Disk faults are of regular
 * files below the directory SWIMSTREAM_MASK_BELOW.
 *
 * Only calls through the C library's public functions are seen: those of Python and SQLite are, those of stdio within the
 * C library and of statically linked programs are not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct wrong {
    int64_t calendar_ns; /* added to CLOCK_REALTIME */
    int32_t write_error; /* errno of every write; 0: none */
    int32_t sync_error;
    int32_t delay_ms; /* before every write and sync */
    int32_t names_fail;
};

static const struct wrong nothing_wrong;
static const volatile struct wrong *wrong = &nothing_wrong;
static const char *below;

#define HOST(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void look(void) {
    const char *path = getenv("SWIMSTREAM_MASK");
    below = getenv("SWIMSTREAM_MASK_BELOW");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof *wrong, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED)
        wrong = mapped;
    close(file);
}

static int is_below(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t wanted = below == NULL ? 0 : strlen(below);
    return wanted > 0 && length > (ssize_t)wanted && strncmp(path, below, wanted) == 0 && path[wanted] == '/';
}

/* Return whether the call must fail; then errno says how. */
static int fails(int file, int error) {
    int delay_ms = wrong->delay_ms;
    if ((error == 0 && delay_ms == 0) || !is_below(file))
        return 0;
    if (delay_ms > 0) {
        struct timespec delay = {delay_ms / 1000, (long)(delay_ms % 1000) * 1000000};
        nanosleep(&delay, NULL);
    }
    errno = error;
    return error != 0;
}

ssize_t write(int file, const void *data, size_t count) {
    return fails(file, wrong->write_error) ? -1 : HOST(write)(file, data, count);
}

ssize_t pwrite(int file, const void *data, size_t count, off_t offset) {
    return fails(file, wrong->write_error) ? -1 : HOST(pwrite)(file, data, count, offset);
}

ssize_t pwrite64(int file, const void *data, size_t count, off64_t offset) {
    return fails(file, wrong->write_error) ? -1 : HOST(pwrite64)(file, data, count, offset);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails(file, wrong->write_error) ? -1 : HOST(writev)(file, parts, count);
}

int fsync(int file) {
    return fails(file, wrong->sync_error) ? -1 : HOST(fsync)(file);
}

int fdatasync(int file) {
    return fails(file, wrong->sync_error) ? -1 : HOST(fdatasync)(file);
}

static void shift(struct timespec *time) {
    int64_t ns = time->tv_sec * 1000000000LL + time->tv_nsec + wrong->calendar_ns;
    time->tv_sec = ns / 1000000000LL;
    time->tv_nsec = ns % 1000000000LL;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int status = HOST(clock_gettime)(clock, time);
    if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && wrong->calendar_ns != 0)
        shift(time);
    return status;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to != NULL)
        *to = now.tv_sec;
    return now.tv_sec;
}

static int is_numeric(const char *name) {
    unsigned char address[sizeof(struct in6_addr)];
    return name == NULL || inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (wrong->names_fail && !is_numeric(name))
        return EAI_AGAIN;
    return HOST(getaddrinfo)(name, service, hints, found);
}
