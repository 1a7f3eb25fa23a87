"""What a container or an administrator may take away from a process: for `preexec`, between fork and exec."""

import ctypes
import errno
import os
import resource
import struct

IO_URING_SETUP = 425  # the same number on every architecture


def limit_descriptors(count: int):
    def confine():
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

    return confine


def limit_locked_memory(size: int):
    """Also gives up being root, for whom the limit would not count."""

    def confine():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (size, size))
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

    return confine


def forbid_io_uring():
    """As container runtimes do it: a seccomp filter answers EPERM."""
    load, jump_if_equal, answer = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
    refuse, allow = 0x00050000 | errno.EPERM, 0x7FFF0000  # SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 0),  # the number of the system call
            (jump_if_equal, 0, 1, IO_URING_SETUP),
            (answer, 0, 0, refuse),
            (answer, 0, 0, allow),
        )
    )
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2

    def confine():
        instructions = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
        filter_program = ctypes.create_string_buffer(header, len(header))
        if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(set_seccomp, filter_mode, filter_program):
            raise OSError(ctypes.get_errno(), "prctl")

    return confine
