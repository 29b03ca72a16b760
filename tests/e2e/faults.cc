// LD_PRELOAD library: something goes wrong at a chosen system call that changes the disk.
//   FAULT       kill (SIGKILL before the call), full (ENOSPC), broken (EIO), slow (the call takes
//   FAULT_SECONDS), none FAULT_AT    which call, from 1 FAULT_IN    only calls on paths that contain this
//   text count FAULT_COUNT a file that receives the number of such calls when the program ends
// Counted are creating and writing files, syncing, renaming, making and removing.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace {
std::atomic<long> calls{0};

const char* setting(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value != nullptr ? value : otherwise;
}

// Whether the call fails; errno is set then.
bool fault(const char* path) {
  if (strstr(path, setting("FAULT_IN", "/")) == nullptr) return false;
  const long call = ++calls;
  if (call != atol(setting("FAULT_AT", "0"))) return false;
  const char* kind = setting("FAULT", "none");
  if (strcmp(kind, "kill") == 0) kill(getpid(), SIGKILL);
  if (strcmp(kind, "slow") == 0) {
    const double seconds = atof(setting("FAULT_SECONDS", "1"));
    timespec t{static_cast<time_t>(seconds),
               static_cast<long>((seconds - static_cast<double>(static_cast<time_t>(seconds))) * 1e9)};
    nanosleep(&t, nullptr);
  }
  errno = strcmp(kind, "full") == 0 ? ENOSPC : EIO;
  return strcmp(kind, "full") == 0 || strcmp(kind, "broken") == 0;
}

bool fault(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, path, sizeof path - 1);
  if (n <= 0) return false;
  path[n] = 0;
  return fault(path);
}

template <class F>
F next(const char* name, F) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

struct CountAtExit {
  ~CountAtExit() {
    const char* file = getenv("FAULT_COUNT");
    if (file == nullptr) return;
    if (FILE* f = fopen(file, "w")) {
      fprintf(f, "%ld\n", calls.load());
      fclose(f);
    }
  }
} count_at_exit;
}  // namespace

#define NEXT(name) next(#name, &name)

extern "C" {
int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if ((flags & O_CREAT) && fault(path)) return -1;
  return NEXT(open)(path, flags, mode);
}
ssize_t write(int fd, const void* data, size_t bytes) {
  return fault(fd) ? -1 : NEXT(write)(fd, data, bytes);
}
int fsync(int fd) { return fault(fd) ? -1 : NEXT(fsync)(fd); }
int rename(const char* from, const char* to) { return fault(from) ? -1 : NEXT(rename)(from, to); }
int mkdir(const char* path, mode_t mode) { return fault(path) ? -1 : NEXT(mkdir)(path, mode); }
int unlinkat(int directory, const char* path, int flags) {
  return (path[0] == '/' || directory == AT_FDCWD ? fault(path) : fault(directory))
             ? -1
             : NEXT(unlinkat)(directory, path, flags);
}
}
