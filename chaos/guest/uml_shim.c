/* What user-mode-linux needs beside it, by LD_PRELOAD: its own text stays as the distribution made it.
 *
 * 1. UML hands the host a guest process's vector registers with PTRACE_SETREGSET(NT_X86_XSTATE), in a buffer whose
 *    size is that of AVX-512. The host wants exactly as many bytes as its CPU has, which with AMX are 11,008, and
 *    refuses anything shorter (EFAULT). So ask it once how many, and fill up with zeros. The tile registers that
 *    these would hold are then in their initial state, and the header must say so.
 * 2. A guest process is a process of the host that UML traces. If UML is killed they would be set free, in the middle
 *    of somebody else's system call: PTRACE_O_EXITKILL has them killed instead.
 * 3. UML's own helpers, which wait for devices, would wait for ever: they get a parent-death signal as well.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PEEKTEXT = 1, PEEKUSER = 3, OLDSETOPTIONS = 21, SETOPTIONS = 0x4200, GETREGSET = 0x4204, SETREGSET = 0x4205 };
enum { NT_X86_XSTATE = 0x202, XSTATE_BYTES_MAX = 32768, XSTATE_BV_OFFSET = 512 };
#define OPTION_EXITKILL 0x100000UL
#define XSTATE_BV_TILES (3ULL << 17)

static long host_ptrace(int request, pid_t pid, void *address, void *data) {
    return syscall(SYS_ptrace, (long)request, (long)pid, address, data);
}

static long set_vector_registers(pid_t pid, void *kind, struct iovec *given) {
    static _Thread_local char whole[XSTATE_BYTES_MAX] __attribute__((aligned(64)));
    static size_t host_bytes;
    struct iovec vector = {whole, sizeof whole};
    uint64_t present;

    if (host_bytes == 0) {
        if (host_ptrace(GETREGSET, pid, kind, &vector) < 0)
            return -1;
        host_bytes = vector.iov_len;
    }
    if (given->iov_len >= host_bytes || given->iov_len < XSTATE_BV_OFFSET + sizeof present)
        return host_ptrace(SETREGSET, pid, kind, given);
    memset(whole, 0, host_bytes);
    memcpy(whole, given->iov_base, given->iov_len);
    memcpy(&present, whole + XSTATE_BV_OFFSET, sizeof present);
    present &= ~XSTATE_BV_TILES;
    memcpy(whole + XSTATE_BV_OFFSET, &present, sizeof present);
    vector.iov_len = host_bytes;
    return host_ptrace(SETREGSET, pid, kind, &vector);
}

long ptrace(int request, ...) {
    va_list rest;
    va_start(rest, request);
    pid_t pid = va_arg(rest, pid_t);
    void *address = va_arg(rest, void *), *data = va_arg(rest, void *);
    va_end(rest);

    if (request == SETREGSET && (uintptr_t)address == NT_X86_XSTATE)
        return set_vector_registers(pid, address, data);
    if (request == SETOPTIONS || request == OLDSETOPTIONS) /* Linux 6.1 uses the old one */
        data = (void *)((uintptr_t)data | OPTION_EXITKILL);
    if (request >= PEEKTEXT && request <= PEEKUSER) { /* glibc returns the word that the system call stores */
        long word, status = host_ptrace(request, pid, address, &word);
        if (status < 0)
            return status;
        errno = 0;
        return word;
    }
    return host_ptrace(request, pid, address, data);
}

struct start {
    int (*enter)(void *);
    void *argument;
};

static int enter_mortally(void *data) {
    struct start start = *(struct start *)data;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return start.enter(start.argument);
}

int clone(int (*enter)(void *), void *stack, int flags, void *argument, ...) {
    typedef int Clone(int (*)(void *), void *, int, void *, ...);
    Clone *host_clone = (Clone *)dlsym(RTLD_NEXT, "clone");
    va_list rest;
    va_start(rest, argument);
    void *parent_id = va_arg(rest, void *), *tls = va_arg(rest, void *), *child_id = va_arg(rest, void *);
    va_end(rest);

    /* On the child's own stack, since it may share our memory and outlive this call. */
    struct start *start = (struct start *)(((uintptr_t)stack - sizeof *start) & ~(uintptr_t)15);
    *start = (struct start){enter, argument};
    return host_clone(enter_mortally, start, flags, start, parent_id, tls, child_id);
}
