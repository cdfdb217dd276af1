/* The first program that a qemu guest runs: loads the modules beside it, mounts the host's root file system by 9p, and
 * goes on with the program that `start=` on the kernel's command line names, as its own init does it for everybody else. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void give_up(const char *what) {
    printf("guest: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1); /* the end of the first process is the end of the kernel */
}

int main(void) {
    char path[32];
    const char *start = getenv("start");

    for (int number = 0;; number++) {
        snprintf(path, sizeof path, "/%d.ko", number);
        int module = open(path, O_RDONLY | O_CLOEXEC);
        if (module < 0)
            break;
        if (syscall(SYS_finit_module, module, "", 0) < 0 && errno != EEXIST)
            give_up(path);
        close(module);
    }
    mkdir("/root", 0755);
    if (mount("root", "/root", "9p", MS_RDONLY, "trans=virtio,version=9p2000.L,msize=262144,cache=loose") < 0)
        give_up("the host's root file system by 9p");
    if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        give_up("into the host's root file system");
    if (start == NULL)
        give_up("start= is missing");
    execl(start, start, (char *)NULL);
    give_up(start);
}
