// SPDX-License-Identifier: GPL-2.0

//! System calls, with their results as the kernel gives them: 0 or more, or a negative errno.

use std::io;

use crate::abi::Structure;

pub type Fd = libc::c_int;

/// Offset -1 of preadv2(2) and pwritev2(2): the file has none.
const NO_OFFSET: i64 = -1;

/// Turns what a function of the C library returned into the kernel's result.
fn result(value: i64) -> i64 {
    if value == -1 {
        -i64::from(
            io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO),
        )
    } else {
        value
    }
}

/// Calls the kernel. Its functions check every address they get; the callers here hand over only
/// memory of the fuzzer that nothing else refers to while the call lasts.
macro_rules! call {
    ($function:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: The kernel checks addresses and descriptors. What is written to is memory that
        // the caller has set apart for that.
        result(i64::from(unsafe { libc::$function($($argument),*) }))
    };
}

/// The same for functions that return a size.
macro_rules! call_size {
    ($function:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: As above.
        result(unsafe { libc::$function($($argument),*) } as i64)
    };
}

pub fn open(path: &str, flags: i32) -> i64 {
    let path = std::ffi::CString::new(path).unwrap_or_default();
    call!(open(path.as_ptr(), flags | libc::O_CLOEXEC))
}

pub fn close(fd: Fd) -> i64 {
    call!(close(fd))
}

pub fn dup(fd: Fd) -> i64 {
    call!(dup(fd))
}

pub fn read(fd: Fd, address: usize, len: usize) -> i64 {
    call_size!(read(fd, address as *mut _, len))
}

pub fn write(fd: Fd, address: usize, len: usize) -> i64 {
    call_size!(write(fd, address as *const _, len))
}

/// Splits a buffer into three parts, the first of which is short.
fn split(address: usize, len: usize) -> [libc::iovec; 3] {
    let first = len.min(5);
    let second = (len - first) / 2;
    let part = |offset: usize, len: usize| libc::iovec {
        iov_base: (address + offset) as *mut _,
        iov_len: len,
    };
    [
        part(0, first),
        part(first, second),
        part(first + second, len - first - second),
    ]
}

pub fn readv(fd: Fd, address: usize, len: usize) -> i64 {
    let parts = split(address, len);
    call_size!(readv(fd, parts.as_ptr(), 3))
}

pub fn writev(fd: Fd, address: usize, len: usize) -> i64 {
    let parts = split(address, len);
    call_size!(writev(fd, parts.as_ptr(), 3))
}

pub fn preadv2_nowait(fd: Fd, address: usize, len: usize) -> i64 {
    let parts = split(address, len);
    call_size!(preadv2(fd, parts.as_ptr(), 3, NO_OFFSET, libc::RWF_NOWAIT))
}

pub fn pwritev2_nowait(fd: Fd, address: usize, len: usize) -> i64 {
    let parts = split(address, len);
    call_size!(pwritev2(fd, parts.as_ptr(), 3, NO_OFFSET, libc::RWF_NOWAIT))
}

pub fn splice(from: Fd, to: Fd, len: usize, flags: u32) -> i64 {
    call_size!(splice(
        from,
        std::ptr::null_mut(),
        to,
        std::ptr::null_mut(),
        len,
        flags
    ))
}

pub fn vmsplice(pipe: Fd, address: usize, len: usize) -> i64 {
    let part = libc::iovec {
        iov_base: address as *mut _,
        iov_len: len,
    };
    call_size!(vmsplice(pipe, &part, 1, libc::SPLICE_F_NONBLOCK))
}

/// sendfile(2) from where the input is.
pub fn sendfile(to: Fd, from: Fd, len: usize) -> i64 {
    call_size!(sendfile(to, from, std::ptr::null_mut(), len))
}

/// sendfile(2) from an offset of a regular file.
pub fn sendfile_at(to: Fd, from: Fd, offset: usize, len: usize) -> i64 {
    let mut offset = offset as i64;
    call_size!(sendfile(to, from, &mut offset, len))
}

pub fn pipe() -> Result<(Fd, Fd), i64> {
    let mut ends = [0; 2];
    match call!(pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC)) {
        0 => Ok((ends[0], ends[1])),
        error => Err(error),
    }
}

/// Bytes that a pipe holds.
pub fn available(pipe: Fd) -> usize {
    let mut count = 0;
    call!(ioctl(pipe, libc::FIONREAD, &mut count));
    usize::try_from(count).unwrap_or(0)
}

/// `FIONREAD` of a ring; 0 if it fails.
pub fn next_read(fd: Fd) -> u64 {
    available(fd) as u64
}

/// An ioctl with one of the ring's structures.
pub fn ioctl<T: Structure>(fd: Fd, command: u32, argument: &mut T) -> i64 {
    call!(ioctl(fd, command.into(), argument as *mut T))
}

/// An ioctl with any address.
pub fn ioctl_at(fd: Fd, command: u32, address: usize) -> i64 {
    call!(ioctl(fd, command.into(), address))
}

pub fn lseek(fd: Fd, offset: i64, whence: i32) -> i64 {
    call!(lseek(fd, offset, whence))
}

pub fn fcntl(fd: Fd, command: i32, argument: i32) -> i64 {
    call!(fcntl(fd, command, argument))
}

/// Polls one descriptor; returns what is true of it.
pub fn poll(fd: Fd, events: i16, timeout_ms: i32) -> (i64, i16) {
    let mut entry = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    (call!(poll(&mut entry, 1, timeout_ms)), entry.revents)
}

pub fn select(fd: Fd, write: bool, timeout_us: i64) -> i64 {
    // SAFETY: A set of descriptors is plain data, for which zeros are valid. The number is checked
    // to be within it.
    let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
    if !(0..libc::FD_SETSIZE as i32).contains(&fd) {
        return -i64::from(libc::EBADF);
    }
    // SAFETY: The number is within the set.
    unsafe { libc::FD_SET(fd, &mut set) };
    let (mut read, mut written) = (std::ptr::null_mut(), std::ptr::null_mut());
    *(if write { &mut written } else { &mut read }) = &raw mut set;
    let mut timeout = libc::timeval {
        tv_sec: 0,
        tv_usec: timeout_us,
    };
    call!(select(
        fd + 1,
        read,
        written,
        std::ptr::null_mut(),
        &mut timeout
    ))
}

pub fn epoll_create() -> i64 {
    call!(epoll_create1(libc::EPOLL_CLOEXEC))
}

pub fn epoll_add(epoll: Fd, fd: Fd, events: u32) -> i64 {
    let mut event = libc::epoll_event { events, u64: 0 };
    call!(epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event))
}

pub fn epoll_wait(epoll: Fd, timeout_ms: i32) -> i64 {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    call!(epoll_wait(epoll, &mut event, 1, timeout_ms))
}

/// Sends a descriptor through a pair of sockets and takes it out again, or leaves it there.
pub fn pass_descriptor(fd: Fd, receive: bool) -> i64 {
    let mut ends = [0; 2];
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    let made = call!(socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()));
    if made < 0 {
        return made;
    }
    let mut byte = 0_u8;
    let mut part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // Aligned as a control message has to be.
    let mut control = [0_u64; 8];
    // SAFETY: A message header is plain data, for which zeros are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: These compute sizes, and addresses within `control`, which has room for one
    // descriptor.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size_of::<Fd>() as u32) as usize;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<Fd>() as u32) as usize;
        libc::CMSG_DATA(header).cast::<Fd>().write_unaligned(fd);
    }
    let mut answer = call_size!(sendmsg(ends[0], &message, 0));
    if receive && answer >= 0 {
        let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
        answer = call_size!(recvmsg(ends[1], &mut message, flags));
        // SAFETY: The kernel has filled in the message; if there is a descriptor in it, it is ours.
        let received = unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            (answer >= 0 && !header.is_null())
                .then(|| libc::CMSG_DATA(header).cast::<Fd>().read_unaligned())
        };
        if let Some(received) = received {
            close(received);
        }
    }
    close(ends[0]);
    close(ends[1]);
    answer
}

pub fn fork() -> i64 {
    call!(fork())
}

/// Ends a process that was forked, without running anything else of this program.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: Ends the process.
    unsafe { libc::_exit(code) }
}

/// Acts for another user from here on, without changing for whom the process does. 0 takes that
/// back.
pub fn act_for(user: libc::uid_t) -> i64 {
    // The C library would change all threads.
    const SAME: i64 = -1;
    call_size!(syscall(libc::SYS_setresuid, SAME, i64::from(user), SAME))
}

pub fn getpid() -> i32 {
    call!(getpid()) as i32
}

pub fn gettid() -> i32 {
    call!(gettid()) as i32
}

pub fn kill(pid: i32, signal: i32) -> i64 {
    call!(kill(pid, signal))
}

pub fn tgkill(pid: i32, tid: i32, signal: i32) -> i64 {
    // SAFETY: Sends a signal; touches no memory.
    result(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) })
}

/// Waits for a child. Returns its number and its status, or 0 if it still runs.
pub fn wait(pid: i32, block: bool) -> (i64, i32) {
    let mut status = 0;
    let flags = if block { 0 } else { libc::WNOHANG };
    (call!(waitpid(pid, &mut status, flags)), status)
}

extern "C" fn ignore(_signal: i32) {}

/// Has a signal interrupt what waits, or restart it.
pub fn on_signal(signal: i32, restart: bool) -> i64 {
    // SAFETY: An action is plain data, for which zeros are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = ignore as extern "C" fn(i32) as usize;
    action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
    call!(sigaction(signal, &action, std::ptr::null_mut()))
}

/// Blocks the signals that the actors and the ring send, or lets them through again.
pub fn block_signals(on: bool) -> i64 {
    // SAFETY: A set of signals is plain data, for which zeros are valid.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGIO, libc::SIGPIPE] {
        // SAFETY: The set is ours, and the signals exist.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    let how = if on {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    call!(pthread_sigmask(how, &set, std::ptr::null_mut()))
}

pub fn set_owner(fd: Fd, pid: i32) -> i64 {
    call!(fcntl(fd, libc::F_SETOWN, pid))
}

/// Maps memory; a file or, without one, zeros. `at` 0: anywhere; else exactly there.
pub fn map(at: usize, len: usize, protection: i32, fd: Option<Fd>, populate: bool) -> i64 {
    let mut flags = libc::MAP_SHARED;
    if fd.is_none() {
        flags |= libc::MAP_ANONYMOUS;
    }
    if at != 0 {
        flags |= libc::MAP_FIXED;
    }
    if populate {
        flags |= libc::MAP_POPULATE;
    }
    // SAFETY: Without an address nothing is replaced; with one, the caller owns what is there, and
    // refers to it by addresses alone.
    let address = unsafe { libc::mmap(at as *mut _, len, protection, flags, fd.unwrap_or(-1), 0) };
    result(address as i64)
}

pub fn protect(at: usize, len: usize, protection: i32) -> i64 {
    call!(mprotect(at as *mut _, len, protection))
}

/// Takes pages out of the page table. Those of a shared file keep their content.
pub fn zap(at: usize, len: usize) -> i64 {
    call!(madvise(at as *mut _, len, libc::MADV_DONTNEED))
}

pub fn memfd(len: usize) -> i64 {
    let fd = call!(memfd_create(c"fuzz".as_ptr(), libc::MFD_CLOEXEC));
    if fd < 0 {
        return fd;
    }
    match call!(ftruncate(fd as Fd, len as i64)) {
        0 => fd,
        error => error,
    }
}

pub fn userfaultfd() -> i64 {
    // SAFETY: Makes a descriptor; touches no memory.
    result(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) })
}

/// An ioctl with a structure that is not the ring's.
pub fn ioctl_raw<T>(fd: Fd, command: u64, argument: &mut T) -> i64 {
    call!(ioctl(fd, command, argument as *mut T))
}

pub fn delete_module(name: &std::ffi::CStr) -> i64 {
    // SAFETY: The name ends with a zero.
    result(unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) })
}

pub fn insert_module(fd: Fd) -> i64 {
    // SAFETY: The parameters end with a zero.
    result(unsafe { libc::syscall(libc::SYS_finit_module, fd, c"".as_ptr(), 0) })
}

pub fn page_size() -> usize {
    call!(sysconf(libc::_SC_PAGESIZE)) as usize
}

/// An ioctl whose number has more than its low 32 bits in use, with a number as its argument.
pub fn ioctl_at_wide(fd: Fd, command: u64, argument: usize) -> i64 {
    call!(ioctl(fd, command, argument))
}
