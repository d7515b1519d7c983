// SPDX-License-Identifier: GPL-2.0

//! The structures of the ABI as programs of another age, or another width, hand them over.

use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;

use crate::abi::{self, Structure};
use crate::control::{Control, RECORD, Ring, STREAM, control};
use crate::endpoint::Endpoint;
use crate::harness::{Test, test};
use crate::memory::{PAGE, Pages, Span};

pub const TESTS: &[Test] = &[
    test!(struct_of_its_first_size_is_taken),
    test!(struct_that_is_shorter_is_einval),
    test!(struct_that_is_longer_may_end_in_zeros),
    test!(struct_that_is_longer_and_says_more_is_e2big),
    test!(struct_that_is_longer_than_a_page_is_e2big),
    test!(struct_at_a_bad_address_is_efault),
    test!(struct_that_cannot_be_written_back_is_efault),
    test!(struct_with_a_flag_that_is_not_known_is_einval),
    test!(command_that_is_not_known_is_enotty),
    test!(command_of_a_32_bit_program_is_the_same),
];

/// When a command uses the memory of its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It takes what it is asked.
    Taken,
    /// It gives an answer.
    Given,
}

/// A command with a structure that it takes.
pub struct Command {
    number: abi::Command,
    argument: Vec<u8>,
    /// Whether it writes an answer into the structure.
    answers: bool,
    /// Whether it is one of an endpoint.
    of_endpoint: bool,
}

impl Command {
    pub fn number(&self) -> abi::Command {
        self.number
    }
}

/// All commands, each with what makes it succeed on a ring called this, in this order.
fn commands(name: &str, cursor: u64) -> Vec<Command> {
    let name = abi::name(name);
    let command = |number, argument: &[u8], answers, of_endpoint| Command {
        number,
        argument: argument.to_vec(),
        answers,
        of_endpoint,
    };
    let watermark = abi::Watermark::default();
    let info = abi::Info::default();
    let endpoint_cursor = abi::Cursor::default();
    let next_cursor = abi::Cursor {
        name,
        ..Default::default()
    };
    let resize = abi::Resize {
        capacity: 8192,
        name,
        ..Default::default()
    };
    let clear = abi::Name {
        name,
        ..Default::default()
    };
    let evict = abi::Evict {
        cursor,
        name,
        ..Default::default()
    };
    let create = STREAM.request("made-by-struct", 4096);
    let destroy = abi::Name {
        name: abi::name("made-by-struct"),
        ..Default::default()
    };
    vec![
        command(abi::INFO, info.bytes(), true, true),
        command(abi::CURSOR, endpoint_cursor.bytes(), true, true),
        command(abi::WATERMARK, watermark.bytes(), false, true),
        command(
            abi::READ_MODE,
            abi::ReadMode::default().bytes(),
            false,
            true,
        ),
        command(abi::NEXT, info.bytes(), true, false),
        command(abi::NEXT_CURSOR, next_cursor.bytes(), true, false),
        command(abi::RESIZE, resize.bytes(), false, false),
        command(abi::CLEAR, clear.bytes(), false, false),
        command(abi::CREATE, create.bytes(), false, false),
        command(abi::DESTROY, destroy.bytes(), false, false),
        command(abi::EVICT, evict.bytes(), false, false),
    ]
}

/// A ring with a reader, and a control node, to command.
pub struct Setting {
    pub ring: Ring,
    reader: Endpoint,
    control: Control,
    /// Three pages, of which the last cannot be touched.
    pages: Pages,
}

impl Setting {
    pub fn new() -> Self {
        let ring = Ring::small(RECORD.broadcast());
        let pages = Pages::map(3);
        pages.protect(2, 1, nix::sys::mman::ProtFlags::PROT_NONE);
        Self {
            ring,
            reader: ring.reader(),
            control: control(),
            pages,
        }
    }

    fn commands(&self) -> Vec<Command> {
        commands(self.ring.name(), self.reader.cursor().id)
    }

    /// The commands that use their argument then.
    pub fn commands_in(&self, turn: Turn) -> Vec<Command> {
        let mut commands = self.commands();
        commands.retain(|command| turn == Turn::Taken || command.answers);
        commands
    }

    /// The structure that a command takes, with its size.
    pub fn argument(&self, command: &Command) -> Vec<u8> {
        let mut bytes = command.argument.clone();
        let size = bytes.len() as u32;
        bytes[..4].copy_from_slice(&size.to_ne_bytes());
        bytes
    }

    /// The file that a command is for.
    pub fn file_of(&self, command: &Command) -> RawFd {
        if command.of_endpoint {
            self.reader.as_raw_fd()
        } else {
            self.control.as_raw_fd()
        }
    }

    fn call(&self, command: &Command, at: Span) -> nix::Result<i32> {
        if command.of_endpoint {
            abi::call_at(self.reader, command.number, at)
        } else {
            abi::call_at(&self.control, command.number, at)
        }
    }

    /// The command with a structure of this size, which ends where memory does: not a byte of
    /// what is behind may be looked at.
    fn call_sized(
        &self,
        command: &Command,
        said: u32,
        bytes: &[u8],
    ) -> (nix::Result<i32>, Vec<u8>) {
        let mut bytes = bytes.to_vec();
        bytes[..4].copy_from_slice(&said.to_ne_bytes());
        let at = 2 * PAGE - bytes.len();
        self.pages.put(at, &bytes);
        let answer = self.call(command, self.pages.span(at, bytes.len()));
        (answer, self.pages.get(at, bytes.len()))
    }
}

fn struct_of_its_first_size_is_taken() {
    let setting = Setting::new();
    for command in setting.commands() {
        let size = command.argument.len() as u32;
        let (answer, after) = setting.call_sized(&command, size, &command.argument);
        assert_eq!(answer, Ok(0), "{:#x}", command.number);
        assert_eq!(after[..4], size.to_ne_bytes());
        let changed = after[4..] != command.argument[4..];
        assert_eq!(changed, command.answers, "{:#x}", command.number);
    }
}

// errno: ioctl EINVAL
fn struct_that_is_shorter_is_einval() {
    let setting = Setting::new();
    for command in setting.commands() {
        for size in (0..command.argument.len()).filter(|size| size % 4 == 0) {
            // As much as it says is there, and no more; its own size always is.
            let bytes = &command.argument[..size.max(4)];
            let (answer, _) = setting.call_sized(&command, size as u32, bytes);
            assert_eq!(
                answer,
                Err(Errno::EINVAL),
                "{:#x} of {size}",
                command.number
            );
        }
    }
}

fn struct_that_is_longer_may_end_in_zeros() {
    for more in [1, 4, 8, 100, 1000] {
        let setting = Setting::new();
        for command in setting.commands() {
            let mut longer = command.argument.clone();
            longer.resize(longer.len() + more, 0);
            let (answer, after) = setting.call_sized(&command, longer.len() as u32, &longer);
            assert_eq!(answer, Ok(0), "{:#x} and {more}", command.number);
            let known = command.argument.len();
            assert_eq!(after[..4], (longer.len() as u32).to_ne_bytes());
            assert_eq!(
                after[known..],
                vec![0; more],
                "what is not known stays zero"
            );
        }
    }
}

// errno: ioctl E2BIG
fn struct_that_is_longer_and_says_more_is_e2big() {
    let setting = Setting::new();
    for command in setting.commands() {
        for more in [1, 8, 100] {
            for set in [0, more / 2, more - 1] {
                let mut longer = command.argument.clone();
                longer.resize(longer.len() + more, 0);
                longer[command.argument.len() + set] = 1;
                let (answer, after) = setting.call_sized(&command, longer.len() as u32, &longer);
                assert_eq!(answer, Err(Errno::E2BIG), "{:#x}", command.number);
                assert_eq!(after[4..], longer[4..], "and nothing is answered");
            }
        }
    }
    assert_eq!(setting.ring.info().capacity, 4096, "and nothing was done");
    assert_eq!(setting.ring.cursors().len(), 1);
}

// errno: ioctl E2BIG
fn struct_that_is_longer_than_a_page_is_e2big() {
    let setting = Setting::new();
    for command in setting.commands() {
        for size in [PAGE as u32 + 1, 1 << 16, 1 << 31, u32::MAX] {
            let (answer, _) = setting.call_sized(&command, size, &command.argument);
            assert_eq!(answer, Err(Errno::E2BIG), "{:#x} of {size}", command.number);
        }
        let mut page = command.argument.clone();
        page.resize(PAGE, 0);
        let (answer, _) = setting.call_sized(&command, PAGE as u32, &page);
        assert_eq!(answer, Ok(0), "{:#x} of a page", command.number);
    }
}

// errno: ioctl EFAULT
fn struct_at_a_bad_address_is_efault() {
    let setting = Setting::new();
    for command in setting.commands() {
        let size = command.argument.len() as u32;
        for bad in [Span::null(8), Span::kernel(8), Span::non_canonical(8)] {
            let answer = setting.call(&command, bad);
            assert_eq!(answer, Err(Errno::EFAULT), "{:#x}", command.number);
        }
        // Only its size can be read, or not all of the rest.
        for there in [4, size as usize - 1] {
            let bytes = &command.argument[..there];
            if there < size as usize {
                let (answer, _) = setting.call_sized(&command, size, bytes);
                assert_eq!(answer, Err(Errno::EFAULT), "{:#x}", command.number);
            }
        }
    }
}

// errno: ioctl EFAULT
fn struct_that_cannot_be_written_back_is_efault() {
    let setting = Setting::new();
    let commands = setting.commands();
    for command in commands.iter().filter(|command| command.answers) {
        let mut bytes = command.argument.clone();
        let size = bytes.len() as u32;
        bytes[..4].copy_from_slice(&size.to_ne_bytes());
        let pages = Pages::map(1);
        pages.put(0, &bytes);
        pages.protect(0, 1, nix::sys::mman::ProtFlags::PROT_READ);
        let answer = setting.call(command, pages.span(0, bytes.len()));
        assert_eq!(answer, Err(Errno::EFAULT), "{:#x}", command.number);
    }
}

// errno: ioctl EINVAL
// errno: CURSOR EINVAL
fn struct_with_a_flag_that_is_not_known_is_einval() {
    let setting = Setting::new();
    for command in setting.commands() {
        let size = command.argument.len() as u32;
        for bit in 0..32 {
            let known = matches!(command.number, abi::CREATE | abi::READ_MODE) && bit == 0;
            if known {
                continue;
            }
            let mut bytes = command.argument.clone();
            bytes[4..8].copy_from_slice(&(1_u32 << bit).to_ne_bytes());
            let (answer, after) = setting.call_sized(&command, size, &bytes);
            assert_eq!(
                answer,
                Err(Errno::EINVAL),
                "{:#x}, bit {bit}",
                command.number
            );
            // Nothing is answered either.
            assert_eq!(after[4..], bytes[4..], "{:#x}, bit {bit}", command.number);
        }
    }
    // Where there is no cursor to choose, none may be chosen.
    let name = abi::name("x");
    for wrong in [
        abi::Cursor {
            id: 1,
            ..Default::default()
        },
        abi::Cursor {
            name,
            ..Default::default()
        },
    ] {
        let answer = abi::call(setting.reader, abi::CURSOR, &mut wrong.clone());
        assert_eq!(answer, Err(Errno::EINVAL));
    }
}

// errno: ioctl ENOTTY
fn command_that_is_not_known_is_enotty() {
    let setting = Setting::new();
    let place = setting.pages.span(0, 200);
    let known = setting.commands();
    let looking = Control::open(nix::fcntl::OFlag::O_RDONLY).expect("open");
    for low in 0..=255 {
        let number = (0x7c << 8) | low;
        for (of_endpoint, name) in [(true, "an endpoint"), (false, "the control node")] {
            let is_known = known
                .iter()
                .any(|command| command.number == number && command.of_endpoint == of_endpoint);
            // With a direction or a size in its number it is another one.
            for number in [number, 0x8000_0000 | number, (4 << 16) | number] {
                if is_known && number < 1 << 16 {
                    continue;
                }
                let answers = if of_endpoint {
                    [abi::call_at(setting.reader, number, place); 2]
                } else {
                    [
                        abi::call_at(&setting.control, number, place),
                        abi::call_at(&looking, number, place),
                    ]
                };
                assert_eq!(answers, [Err(Errno::ENOTTY); 2], "{number:#x} of {name}");
            }
        }
    }
    // FIONREAD is none of the control node's.
    let answer = abi::call_at(&setting.control, libc::FIONREAD, place);
    assert_eq!(answer, Err(Errno::ENOTTY));
}

/// ioctl(2) as a 32-bit program calls it, with its argument below 4 GiB.
#[cfg(target_pointer_width = "32")]
fn ioctl_of_32_bits(file: i32, command: abi::Command, argument: u32) -> nix::Result<i32> {
    // SAFETY: the kernel writes to the argument only, in which no Rust object is.
    Errno::result(unsafe { libc::ioctl(file, command, argument) })
}

/// ioctl(2) as a 32-bit program calls it, with its argument below 4 GiB.
#[cfg(target_pointer_width = "64")]
fn ioctl_of_32_bits(file: i32, command: abi::Command, argument: u32) -> nix::Result<i32> {
    const IOCTL: u64 = 54;
    let mut result = IOCTL;
    // SAFETY: the interrupt is the system call of 32-bit programs, which keeps all registers but
    // these. The kernel writes to the argument only, in which no Rust object is.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "mov ebx, {file:e}",
            "int 0x80",
            "pop rbx",
            file = in(reg) file,
            inout("rax") result,
            in("rcx") command,
            in("rdx") u64::from(argument),
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    match result as i32 {
        result @ 0.. => Ok(result),
        error => Err(Errno::from_raw(-error)),
    }
}

fn command_of_a_32_bit_program_is_the_same() {
    use std::os::fd::AsRawFd;

    let setting = Setting::new();
    let low = Pages::map_low();
    for command in setting.commands() {
        let size = command.argument.len();
        let mut bytes = command.argument.clone();
        bytes[..4].copy_from_slice(&(size as u32).to_ne_bytes());
        low.put(0, &bytes);
        let file = if command.of_endpoint {
            setting.reader.as_raw_fd()
        } else {
            setting.control.as_raw_fd()
        };
        let address = u32::try_from(low.span(0, 0).address()).expect("it is below 4 GiB");
        let answer = ioctl_of_32_bits(file, command.number, address);
        assert_eq!(answer, Ok(0), "{:#x}", command.number);
        let changed = low.get(0, size)[4..] != command.argument[4..];
        assert_eq!(changed, command.answers, "{:#x}", command.number);
        assert_eq!(ioctl_of_32_bits(file, 0x7c00, address), Err(Errno::ENOTTY));
    }
}
