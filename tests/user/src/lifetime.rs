// SPDX-License-Identifier: GPL-2.0

//! Endpoints as they are shared, passed on and closed: dup, fork, exec, SCM_RIGHTS. And the
//! ring, which outlives them all.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use nix::unistd::{close, execv};

use crate::endpoint::{Endpoint, open_ring};
use crate::harness::{Test, by_lane, test};
use crate::module;
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Process, Task};

pub const TESTS: &[Test] = &[
    test!(open_close_leaves_the_data),
    test!(open_many_times),
    test!(open_nonblock_counts_from_the_start),
    test!(open_in_every_mode_is_at_once),
    test!(open_truncating_truncates_nothing),
    test!(each_open_has_flags_of_its_own),
    test!(dup_shares_the_flags),
    test!(dup_keeps_the_endpoint_open),
    test!(fork_shares_the_endpoint),
    test!(fork_child_goes_on_after_its_parent),
    test!(exec_keeps_the_endpoint),
    test!(exec_closes_the_endpoint_with_o_cloexec),
    test!(passed_over_a_socket_it_works),
    test!(passed_over_a_socket_it_is_the_same_endpoint),
    test!(lost_in_a_socket_it_is_closed),
    test!(close_lets_a_blocked_read_go_on),
    test!(close_lets_a_blocked_write_go_on).small(),
    test!(reopened_by_proc_it_is_another_endpoint),
    test!(killed_users_leave_no_lock_behind).small().seconds(40),
];

const RDONLY: OFlag = OFlag::O_RDONLY;

fn open_close_leaves_the_data() {
    for round in 0..100 {
        drop(open_ring(OFlag::O_RDWR).expect("open"));
        Endpoint::writer().put(&pattern(round * 10, 10));
    }
    assert_eq!(module::endpoints(), 100);
    assert_pattern(&Endpoint::reader().take_exactly(1000), 0);
}

fn open_many_times() {
    let count = 1000;
    let ends: Vec<_> = (0..count)
        .map(|_| open_ring(OFlag::O_RDWR).expect("open"))
        .collect();
    assert_eq!(module::endpoints(), count);
    let first = Endpoint::both();
    first.put(b"x");
    drop(ends);
    assert_eq!(module::endpoints(), 1);
    assert_eq!(first.take(10), Ok(b"x".to_vec()));
}

fn open_nonblock_counts_from_the_start() {
    let ring = Endpoint::open(OFlag::O_RDWR | OFlag::O_NONBLOCK);
    assert_eq!(ring.take(1), Err(Errno::EAGAIN));
    ring.put(b"x");
    assert_eq!(ring.take(10), Ok(b"x".to_vec()));
}

fn open_in_every_mode_is_at_once() {
    // Opening a FIFO waits for the other end. Opening a ring waits for nothing.
    for mode in [OFlag::O_RDONLY, OFlag::O_WRONLY, OFlag::O_RDWR] {
        for more in [OFlag::empty(), OFlag::O_NONBLOCK, OFlag::O_APPEND] {
            drop(open_ring(mode | more).expect("open"));
        }
    }
}

fn open_truncating_truncates_nothing() {
    // So a shell's `echo > /dev/ring/0` does not throw away what others wrote.
    Endpoint::writer().put(b"stays");
    let again = Endpoint::open(OFlag::O_RDWR | OFlag::O_TRUNC | OFlag::O_CREAT);
    assert_eq!(again.take(10), Ok(b"stays".to_vec()));
}

fn each_open_has_flags_of_its_own() {
    let (one, two) = (Endpoint::both(), Endpoint::both());
    one.set_nonblocking(true);
    let reader = Task::asleep_in(Call::READ, move || two.take(1));
    assert_eq!(one.take(1), Err(Errno::EAGAIN));
    one.put(b"x");
    assert_eq!(reader.finish(), Ok(b"x".to_vec()));
}

fn duplicate(ring: Endpoint) -> Endpoint {
    Endpoint::keep(nix::unistd::dup(ring).expect("dup"))
}

fn dup_shares_the_flags() {
    let one = Endpoint::both();
    let two = duplicate(one);
    one.set_nonblocking(true);
    assert_eq!(two.take(1), Err(Errno::EAGAIN));
    two.set_nonblocking(false);
    let reader = Task::asleep_in(Call::READ, move || one.take(1));
    two.put(b"x");
    assert_eq!(reader.finish(), Ok(b"x".to_vec()));
}

fn dup_keeps_the_endpoint_open() {
    let one = open_ring(OFlag::O_RDWR).expect("open");
    let two = one.try_clone().expect("dup");
    assert_eq!(module::endpoints(), 1, "one endpoint, two descriptors");
    drop(one);
    assert_eq!(module::endpoints(), 1);
    assert_eq!(nix::unistd::write(&two, b"x"), Ok(1));
    drop(two);
    assert_eq!(module::endpoints(), 0);
}

fn fork_shares_the_endpoint() {
    let ring = Endpoint::both();
    ring.put(b"abcd");
    Process::fork(|| {
        assert_eq!(ring.take(2), Ok(b"ab".to_vec()));
        ring.set_nonblocking(true);
    })
    .finish();
    assert_eq!(module::endpoints(), 1);
    assert!(ring.flags().contains(OFlag::O_NONBLOCK), "one description");
    assert_eq!(ring.take(10), Ok(b"cd".to_vec()));
}

fn fork_child_goes_on_after_its_parent() {
    let ring = Endpoint::both();
    let parent = Process::fork(|| {
        let heir = Endpoint::open(OFlag::O_RDWR);
        // Its child is not waited for: it outlives it.
        Process::asleep_in(Call::READ, || {
            assert_eq!(heir.take(1), Ok(b"x".to_vec()));
            heir.put(b"heard");
        });
    });
    parent.finish();
    ring.put(b"x");
    while ring.available() != 5 {
        std::thread::yield_now();
    }
    assert_eq!(ring.take(10), Ok(b"heard".to_vec()));
}

/// Runs a shell that writes to descriptor 9, and returns what it answered.
fn shell_writes_to(nine: OwnedFd) -> i32 {
    let process = Process::fork(|| {
        let script = [c"sh", c"-c", c"exec 2>/dev/null; echo from a shell >&9"];
        let _ = nine;
        execv(c"/bin/sh", &script).expect("execv");
    });
    match process.wait() {
        nix::sys::wait::WaitStatus::Exited(_, code) => code,
        status => panic!("{status:?}"),
    }
}

/// An endpoint whose descriptor is number 9, as the shell's script has it.
fn nine(flags: OFlag) -> OwnedFd {
    let ring = open_ring(OFlag::O_WRONLY).expect("open");
    // SAFETY: descriptor 9 is owned by nobody here. It is overwritten at once.
    let mut nine = unsafe { OwnedFd::from_raw_fd(9) };
    nix::unistd::dup3(&ring, &mut nine, flags).expect("dup3");
    nine
}

fn exec_keeps_the_endpoint() {
    let ring = Endpoint::reader();
    assert_eq!(shell_writes_to(nine(OFlag::empty())), 0);
    assert_eq!(ring.take(100), Ok(b"from a shell\n".to_vec()));
}

fn exec_closes_the_endpoint_with_o_cloexec() {
    let ring = Endpoint::reader();
    assert_ne!(shell_writes_to(nine(OFlag::O_CLOEXEC)), 0);
    assert_eq!(ring.available(), 0);
}

pub fn socket_pair() -> (OwnedFd, OwnedFd) {
    socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::empty(),
    )
    .expect("socketpair")
}

pub fn send(socket: &OwnedFd, fd: &OwnedFd) {
    let fds = [fd.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    let sent = sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(b"!")],
        &rights,
        MsgFlags::empty(),
        None,
    );
    assert_eq!(sent, Ok(1));
}

fn receive(socket: &OwnedFd) -> OwnedFd {
    let mut byte = [0];
    let mut buffer = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let message = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut buffer,
        Some(&mut space),
        MsgFlags::empty(),
    )
    .expect("recvmsg");
    let mut messages = message.cmsgs().expect("whole control messages");
    let Some(ControlMessageOwned::ScmRights(fds)) = messages.next() else {
        panic!("no descriptor came");
    };
    // SAFETY: the kernel has just installed this descriptor for us alone.
    unsafe { OwnedFd::from_raw_fd(fds[0]) }
}

fn passed_over_a_socket_it_works() {
    let (here, there) = socket_pair();
    let ring = Endpoint::both();
    let process = Process::fork(|| {
        let ring = Endpoint::keep(receive(&there));
        assert_eq!(ring.take(10), Ok(b"hello".to_vec()));
    });
    ring.put(b"hello");
    send(&here, &open_ring(RDONLY).expect("open"));
    process.finish();
    assert_eq!(ring.available(), 0);
}

fn passed_over_a_socket_it_is_the_same_endpoint() {
    let (here, there) = socket_pair();
    let fd = open_ring(OFlag::O_RDWR).expect("open");
    send(&here, &fd);
    let passed = Endpoint::keep(receive(&there));
    let ring = Endpoint::keep(fd);
    assert_eq!(module::endpoints(), 1);
    ring.set_nonblocking(true);
    assert_eq!(passed.take(1), Err(Errno::EAGAIN), "the flag is shared");
}

fn lost_in_a_socket_it_is_closed() {
    for _ in 0..by_lane(50, 10) {
        let (here, there) = socket_pair();
        send(&here, &open_ring(RDONLY).expect("open"));
        drop(here);
        drop(there);
    }
    module::await_unused().expect("every endpoint is closed");
}

fn close_lets_a_blocked_read_go_on() {
    let writer = Endpoint::writer();
    let number = open_ring(RDONLY).expect("open").into_raw_fd();
    let reader = Task::asleep_in(Call::READ, move || {
        let mut byte = [0];
        // SAFETY: one byte of room. The descriptor is open when this begins.
        let count = unsafe { libc::read(number, byte.as_mut_ptr().cast(), 1) };
        Errno::result(count).map(|count| (count, byte))
    });
    // The call holds the endpoint, so it neither fails nor finds another file there.
    reader
        .sleeper
        .sleeps_through(Call::READ, || close(number).expect("close"));
    assert_eq!(module::endpoints(), 2);
    writer.put(b"x");
    assert_eq!(reader.finish(), Ok((1, *b"x")));
    assert_eq!(module::endpoints(), 1);
}

fn close_lets_a_blocked_write_go_on() {
    let reader = Endpoint::reader();
    let number = open_ring(OFlag::O_WRONLY).expect("open").into_raw_fd();
    let filled = Endpoint::writer().fill();
    let writer = Task::asleep_in(Call::WRITE, move || {
        // SAFETY: the kernel only reads. The descriptor is open when this begins.
        let count = unsafe { libc::write(number, c"x".as_ptr().cast(), 1) };
        Errno::result(count)
    });
    writer
        .sleeper
        .sleeps_through(Call::WRITE, || close(number).expect("close"));
    reader.take_exactly(filled);
    assert_eq!(writer.finish(), Ok(1));
    assert_eq!(reader.take(10), Ok(b"x".to_vec()));
}

fn reopened_by_proc_it_is_another_endpoint() {
    let ring = Endpoint::both();
    let path = format!("/proc/self/fd/{}", ring.as_raw_fd());
    let again = nix::fcntl::open(
        path.as_str(),
        OFlag::O_RDWR | OFlag::O_NONBLOCK,
        nix::sys::stat::Mode::empty(),
    );
    let again = Endpoint::keep(again.expect("open"));
    assert_eq!(module::endpoints(), 2);
    assert!(!ring.flags().contains(OFlag::O_NONBLOCK));
    again.put(b"one ring");
    assert_eq!(ring.take(10), Ok(b"one ring".to_vec()));
}

fn killed_users_leave_no_lock_behind() {
    // Killed at points nobody chose: asleep, copying, waking, being woken.
    for round in 0..by_lane(50, 15) {
        let users: Vec<_> = (0..4)
            .map(|number| {
                Process::fork(|| {
                    let ring = Endpoint::both();
                    let bytes = vec![0; 100 + 1300 * number];
                    loop {
                        if number % 2 == 0 {
                            let _ = ring.write(&bytes);
                        } else {
                            let _ = ring.take(bytes.len());
                        }
                    }
                })
            })
            .collect();
        let ring = Endpoint::both();
        // Long enough for them to be in the middle of it: some bytes have gone through.
        ring.take_exactly(3000 + round as usize * 7);
        for user in users {
            user.kill_for_good();
        }
        ring.drain();
        ring.put(b"free");
        assert_eq!(ring.take(10), Ok(b"free".to_vec()));
    }
}
