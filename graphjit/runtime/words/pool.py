"""Words of the pool of threads. Each group has a cache line of its own: it is written by others."""

LINE = 8  # words of a cache line
#: generation << 32 | number of the next chunk; CLOSED where there is none
TICKET = 0
CLOSED = 0xFFFF_FFFF

(
    KERNEL,  # the job, which does not change while chunks of it are left
    TABLE,
    FIRST,
    LAST,
    CHUNK,  # steps of the range in a chunk
    COUNT,  # number of chunks
) = range(LINE, LINE + 6)

DONE = 2 * LINE  # chunks that are finished
LOCK = 3 * LINE  # 1 while a program has the pool
SLEEPING = 4 * LINE  # threads that wait to be woken
WAKE = 5 * LINE  # counts wake-ups; its lower half is what they wait on

(
    STOP,  # 1 to end all threads
    THREADS,  # how many share the work, the caller among them
    SYSCALL,  # libc's `syscall`, where there are futexes
    FUTEX,  # number of the system call
    SLEEP,  # libc's `usleep`, where there are none
    CLOCK,  # libc's `clock_gettime`
    CLOCK_NUMBER,  # of the clock that never goes back
) = range(6 * LINE, 6 * LINE + 7)

WORDS = 7 * LINE
