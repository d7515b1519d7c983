// SPDX-License-Identifier: GPL-2.0

//! `include/uapi/linux/ringdev.h` in Rust.
//!
//! Written by hand, so that building needs no C compiler. The layouts are asserted below, and a
//! test compares all that is here with the header. What things mean is said there, once.

use rustix::ioctl::{Opcode, opcode};

/// Asserts where the fields of a structure lie, and tells the test what the header calls them.
macro_rules! layout {
    ($type:ident is $c_name:literal of $size:literal: $($field:ident at $offset:literal),+) => {
        const _: () = {
            assert!(size_of::<$type>() == $size);
            $(assert!(core::mem::offset_of!($type, $field) == $offset);)+
        };

        #[cfg(test)]
        impl tests::Layout for $type {
            const C_NAME: &str = $c_name;
            const SIZE: usize = $size;
            const FIELDS: &[(&str, usize)] = &[$((stringify!($field), $offset)),+];
        }
    };
}

pub(crate) const NAME_SIZE: usize = 32;

pub(crate) const STREAM: u32 = 0;
pub(crate) const RECORD: u32 = 1;

pub(crate) const BLOCK: u32 = 0;
pub(crate) const DROP: u32 = 1;
pub(crate) const OVERWRITE: u32 = 2;

pub(crate) const SHARED: u32 = 0;
pub(crate) const BROADCAST: u32 = 1;

pub(crate) const HANGUP: u32 = 1 << 0;

#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Create {
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) capacity: u64,
    pub(crate) framing: u32,
    pub(crate) full: u32,
    pub(crate) delivery: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) name: [u8; NAME_SIZE],
}

layout!(Create is "ringdev_create" of 72:
    size at 0, flags at 4, capacity at 8, framing at 16, full at 20, delivery at 24, mode at 28,
    uid at 32, gid at 36, name at 40);

#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Name {
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) name: [u8; NAME_SIZE],
}

layout!(Name is "ringdev_name" of 40: size at 0, flags at 4, name at 8);

#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Resize {
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) capacity: u64,
    pub(crate) name: [u8; NAME_SIZE],
}

layout!(Resize is "ringdev_resize" of 48: size at 0, flags at 4, capacity at 8, name at 16);

#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Evict {
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) cursor: u64,
    pub(crate) name: [u8; NAME_SIZE],
}

layout!(Evict is "ringdev_evict" of 48: size at 0, flags at 4, cursor at 8, name at 16);

#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Info {
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) id: u64,
    pub(crate) capacity: u64,
    pub(crate) framing: u32,
    pub(crate) full: u32,
    pub(crate) delivery: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) name: [u8; NAME_SIZE],
    pub(crate) readers: u32,
    pub(crate) writers: u32,
    pub(crate) unread: u64,
    pub(crate) high_water: u64,
    pub(crate) records_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) records_dropped: u64,
    pub(crate) bytes_dropped: u64,
    pub(crate) records_lost: u64,
    pub(crate) bytes_lost: u64,
    pub(crate) records_out: u64,
    pub(crate) bytes_out: u64,
    pub(crate) writer_sleeps: u64,
    pub(crate) writer_wakes: u64,
    pub(crate) reader_sleeps: u64,
    pub(crate) reader_wakes: u64,
}

layout!(Info is "ringdev_info" of 200:
    size at 0, flags at 4, id at 8, capacity at 16, framing at 24, full at 28, delivery at 32,
    mode at 36, uid at 40, gid at 44, name at 48, readers at 80, writers at 84, unread at 88,
    high_water at 96, records_in at 104, bytes_in at 112, records_dropped at 120,
    bytes_dropped at 128, records_lost at 136, bytes_lost at 144, records_out at 152,
    bytes_out at 160, writer_sleeps at 168, writer_wakes at 176, reader_sleeps at 184,
    reader_wakes at 192);

#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) id: u64,
    pub(crate) unread: u64,
    pub(crate) records_out: u64,
    pub(crate) bytes_out: u64,
    pub(crate) records_lost: u64,
    pub(crate) bytes_lost: u64,
    pub(crate) watermark: u64,
    pub(crate) delay_ns: u64,
    pub(crate) name: [u8; NAME_SIZE],
}

layout!(Cursor is "ringdev_cursor" of 104:
    size at 0, flags at 4, id at 8, unread at 16, records_out at 24, bytes_out at 32,
    records_lost at 40, bytes_lost at 48, watermark at 56, delay_ns at 64, name at 72);

#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) bytes: u64,
    pub(crate) delay_ns: u64,
}

layout!(Watermark is "ringdev_watermark" of 24:
    size at 0, flags at 4, bytes at 8, delay_ns at 16);

pub(crate) const HEADERS: u32 = 1 << 0;

#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct ReadMode {
    pub(crate) size: u32,
    pub(crate) flags: u32,
}

layout!(ReadMode is "ringdev_read_mode" of 8: size at 0, flags at 4);

pub(crate) const ALIGN: usize = 8;

#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) length: u32,
    pub(crate) flags: u32,
    pub(crate) sequence: u64,
    pub(crate) timestamp_ns: u64,
    pub(crate) lost: u64,
}

layout!(Record is "ringdev_record" of 32:
    length at 0, flags at 4, sequence at 8, timestamp_ns at 16, lost at 24);

const MAGIC: u8 = b'|';

pub(crate) const IOC_CREATE: Opcode = opcode::none(MAGIC, 0x90);
pub(crate) const IOC_DESTROY: Opcode = opcode::none(MAGIC, 0x91);
pub(crate) const IOC_NEXT: Opcode = opcode::none(MAGIC, 0x92);
pub(crate) const IOC_RESIZE: Opcode = opcode::none(MAGIC, 0x93);
pub(crate) const IOC_CLEAR: Opcode = opcode::none(MAGIC, 0x94);
pub(crate) const IOC_EVICT: Opcode = opcode::none(MAGIC, 0x95);
pub(crate) const IOC_NEXT_CURSOR: Opcode = opcode::none(MAGIC, 0x96);

pub(crate) const IOC_INFO: Opcode = opcode::none(MAGIC, 0x98);
pub(crate) const IOC_CURSOR: Opcode = opcode::none(MAGIC, 0x99);
pub(crate) const IOC_WATERMARK: Opcode = opcode::none(MAGIC, 0x9a);
pub(crate) const IOC_READ_MODE: Opcode = opcode::none(MAGIC, 0x9b);

#[cfg(test)]
mod tests {
    use std::env;
    use std::fmt::Write;
    use std::fs;
    use std::process::{self, Command};

    use super::*;

    /// A structure as this file has it, under the names of the header.
    pub(super) trait Layout {
        const C_NAME: &str;
        const SIZE: usize;
        const FIELDS: &[(&str, usize)];
    }

    /// C expressions, and what they must be.
    #[derive(Default)]
    struct Expected(Vec<(String, u64)>);

    impl Expected {
        fn value(&mut self, expression: impl Into<String>, value: impl Into<u64>) {
            self.0.push((expression.into(), value.into()));
        }

        fn structure<T: Layout>(&mut self) {
            let size = |number: usize| u64::try_from(number).expect("small");
            self.value(format!("sizeof(struct {})", T::C_NAME), size(T::SIZE));
            for (field, offset) in T::FIELDS {
                self.value(
                    format!("offsetof(struct {}, {field})", T::C_NAME),
                    size(*offset),
                );
            }
        }

        /// A program that prints the value of each expression on a line.
        fn program(&self) -> String {
            let mut text = String::from(
                "#include <stddef.h>\n\
                 #include <stdio.h>\n\
                 #include <linux/ringdev.h>\n\
                 int main(void)\n{\n",
            );
            for (expression, _) in &self.0 {
                let print = format!("\tprintf(\"%llu\\n\", (unsigned long long)({expression}));");
                writeln!(text, "{print}").expect("a string takes all");
            }
            text + "\treturn 0;\n}\n"
        }
    }

    /// What `text` prints when it is compiled against the header and run.
    fn output_of(text: &str) -> String {
        let directory = env::temp_dir().join(format!("ringdev-abi-{}", process::id()));
        fs::create_dir_all(&directory).expect("a directory for temporary files");
        let (source, program) = (directory.join("abi.c"), directory.join("abi"));
        fs::write(&source, text).expect("a source file");
        let compiled = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()))
            // Padding would be a field that this file does not know.
            .args(["-Wall", "-Wpadded", "-Werror", "-I"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../include/uapi"))
            .arg("-o")
            .args([&program, &source])
            .status()
            .expect("a C compiler: install one, or name it in CC");
        assert!(compiled.success(), "the header does not compile as it must");
        let output = Command::new(&program).output().expect("the program runs");
        fs::remove_dir_all(&directory).expect("the directory goes");
        String::from_utf8(output.stdout).expect("numbers")
    }

    #[test]
    fn is_what_the_header_says() {
        let mut expected = Expected::default();
        expected.structure::<Create>();
        expected.structure::<Name>();
        expected.structure::<Resize>();
        expected.structure::<Evict>();
        expected.structure::<Info>();
        expected.structure::<Cursor>();
        expected.structure::<Watermark>();
        expected.structure::<ReadMode>();
        expected.structure::<Record>();
        for (name, value) in [
            ("RINGDEV_STREAM", STREAM),
            ("RINGDEV_RECORD", RECORD),
            ("RINGDEV_BLOCK", BLOCK),
            ("RINGDEV_DROP", DROP),
            ("RINGDEV_OVERWRITE", OVERWRITE),
            ("RINGDEV_SHARED", SHARED),
            ("RINGDEV_BROADCAST", BROADCAST),
            ("RINGDEV_HANGUP", HANGUP),
            ("RINGDEV_HEADERS", HEADERS),
        ] {
            expected.value(name, value);
        }
        for (name, value) in [("RINGDEV_NAME_SIZE", NAME_SIZE), ("RINGDEV_ALIGN", ALIGN)] {
            expected.value(name, u64::try_from(value).expect("small"));
        }
        for (name, value) in [
            ("RINGDEV_IOC_CREATE", IOC_CREATE),
            ("RINGDEV_IOC_DESTROY", IOC_DESTROY),
            ("RINGDEV_IOC_NEXT", IOC_NEXT),
            ("RINGDEV_IOC_RESIZE", IOC_RESIZE),
            ("RINGDEV_IOC_CLEAR", IOC_CLEAR),
            ("RINGDEV_IOC_EVICT", IOC_EVICT),
            ("RINGDEV_IOC_NEXT_CURSOR", IOC_NEXT_CURSOR),
            ("RINGDEV_IOC_INFO", IOC_INFO),
            ("RINGDEV_IOC_CURSOR", IOC_CURSOR),
            ("RINGDEV_IOC_WATERMARK", IOC_WATERMARK),
            ("RINGDEV_IOC_READ_MODE", IOC_READ_MODE),
        ] {
            expected.value(name, value);
        }

        let output = output_of(&expected.program());
        let values: Vec<u64> = output
            .lines()
            .map(|line| line.parse().expect("a number"))
            .collect();
        assert_eq!(values.len(), expected.0.len());
        for ((expression, here), there) in expected.0.iter().zip(values) {
            assert_eq!(*here, there, "{expression}");
        }
    }
}
