// SPDX-License-Identifier: GPL-2.0

//! An endpoint: one open file of a ring. Turns system calls into operations of a [`Channel`].
//!
//! An endpoint is what open(2) made, and dup(2), fork(2) and `SCM_RIGHTS` share. It keeps its ring
//! alive for as long as it is open.

use crate::{
    abi,
    channel::{
        progress,
        Batch,
        Channel,
        ReadEnd,
        Reader,
        Seek,
        Watermark, //
    },
    registry::Ring,
    report,
    ring::Framing,
    staging::{
        compat::FIONREAD,
        fasync::Lists,
        file::{
            Access,
            FileOperations,
            SeekFrom,
            Sigpipe,
            Waiting, //
        },
        poll::{
            Events,
            PollTable, //
        },
        signal,
        transfer::{
            Destination,
            Source,
            UserDestination,
            UserSource, //
        },
        uapi, //
    }, //
};
use kernel::{
    ffi::c_int,
    prelude::*,
    seq_file::SeqFile,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// An open file of a ring.
pub(crate) struct Endpoint {
    /// What it reads with, if it reads. Dropped before the ring, whose charge covers the memory
    /// that a cursor refers to.
    read_end: Option<ReadEnd>,
    ring: Arc<Ring>,
    access: Access,
    /// Whether a read returns records with their headers.
    headers: AtomicFlag,
}

impl Endpoint {
    #[inline]
    fn channel(&self) -> &Channel {
        &self.ring.channel
    }

    /// What it reads with. `EBADF` if it does not read.
    #[inline]
    fn read_end(&self) -> Result<&ReadEnd> {
        self.read_end.as_ref().ok_or(EBADF)
    }

    /// Its cursor. `EBADF` if it does not read.
    #[inline]
    fn reader(&self) -> Result<&Reader> {
        Ok(&self.read_end()?.reader)
    }

    fn batch(&self) -> Batch {
        if self.channel().attributes().framing == Framing::Record && self.headers.load(Relaxed) {
            Batch::WithHeaders
        } else {
            Batch::Payload
        }
    }

    /// `FIONREAD`: how large a buffer the next read needs.
    fn store_next_read(&self, to: UserPtr) -> Result {
        let next = match self.reader() {
            Ok(reader) => self.channel().next_read(reader, self.batch()),
            // A write-only endpoint may also ask how much is queued.
            Err(_) => self.channel().in_ring(),
        };
        let next = c_int::try_from(next).unwrap_or(c_int::MAX);
        UserSlice::new(to, size_of::<c_int>()).writer().write(&next)
    }

    fn give_cursor(&self, argument: UserPtr) -> Result {
        let asked: uapi::ringdev_cursor = uapi::take(argument)?;
        abi::known_flags(asked.flags, 0)?;
        if asked.id != 0 || asked.name.iter().any(|byte| *byte != 0) {
            return Err(EINVAL);
        }
        let reader = self.reader()?;
        let statistics = self.channel().cursor_statistics(reader);
        let cursor = abi::cursor(asked.size, &self.ring.identity.name, &statistics);
        uapi::give(&cursor, argument)?;
        // If the copy fails, the reader still has to be told, so this comes after it.
        self.channel().told(reader, &statistics);
        Ok(())
    }

    fn set_watermark(&self, argument: UserPtr) -> Result {
        let asked: uapi::ringdev_watermark = uapi::take(argument)?;
        abi::known_flags(asked.flags, 0)?;
        let watermark = Watermark {
            bytes: asked.bytes,
            delay_ns: asked.delay_ns,
        };
        self.channel().set_watermark(self.reader()?, watermark)
    }

    fn set_read_mode(&self, argument: UserPtr) -> Result {
        let asked: uapi::ringdev_read_mode = uapi::take(argument)?;
        let flags = abi::known_flags(asked.flags, uapi::RINGDEV_HEADERS)?;
        self.reader()?;
        if self.channel().attributes().framing == Framing::Stream {
            return Err(EINVAL);
        }
        self.headers
            .store(flags & uapi::RINGDEV_HEADERS != 0, Relaxed);
        Ok(())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.ring.channel.close(self.access, self.read_end.as_ref());
    }
}

#[vtable]
impl FileOperations for Endpoint {
    type Device = Arc<Ring>;
    type OwnerModule = crate::LocalModule;

    fn open(ring: &Arc<Ring>, access: Access) -> Result<Self> {
        // From here on nothing can fail, and the destructor takes it back.
        let read_end = ring.channel.open(access)?;
        Ok(Self {
            ring: ring.clone(),
            access,
            read_end,
            headers: AtomicFlag::new(false),
        })
    }

    #[inline]
    fn read_at_once(&self, to: UserDestination) -> Option<usize> {
        let end = self.read_end.as_ref()?;
        self.channel().read_at_once(&end.reader, to)
    }

    #[inline]
    fn write_at_once(&self, from: UserSource) -> Option<usize> {
        self.channel().write_at_once(from)
    }

    fn read(&self, to: &mut impl Destination, waiting: Waiting) -> Result<usize> {
        self.channel()
            .read(self.read_end()?, to, self.batch(), waiting)
    }

    fn wait_to_read(&self) -> Result {
        self.channel().wait(self.read_end()?)
    }

    fn read_given_up(&self) {
        if let Ok(reader) = self.reader() {
            self.channel().pass_on_to_reader(reader);
        }
    }

    fn write(&self, from: &mut impl Source, waiting: Waiting, sigpipe: Sigpipe) -> Result<usize> {
        let (written, result) = self.channel().write(from, waiting);
        if result == Err(EPIPE) && sigpipe == Sigpipe::Sent {
            // Also if some of it was written, as with a pipe.
            signal::send_sigpipe();
        }
        progress(written, result)
    }

    /// Exact: readable if and only if a read would return, and writable if and only if any write of
    /// the usual length would: of up to `PIPE_BUF` bytes or the longest record where writers wait,
    /// and of a byte to a stream that drops.
    fn poll<'file>(&'file self, table: PollTable<'file>, access: Access) -> Events {
        let channel = &self.ring.channel;
        let mut ready = Events::NONE;
        let edges = Events::EDGE_TRIGGERED | Events::EXCLUSIVE;
        let wants_every_edge =
            |of: Events| table.requested().intersects(edges) && table.requested().intersects(of);
        if let Some(end) = &self.read_end {
            end.reader.pollers().register(&table);
            if wants_every_edge(Events::READABLE | Events::PRIORITY) {
                channel.readers().want_every_edge();
            }
            ready = ready | channel.readable(end);
        }
        if access.write {
            table.register(channel.writers().pollers());
            if wants_every_edge(Events::WRITABLE) {
                channel.writers().want_every_edge();
            }
            ready = ready | channel.writable();
        }
        ready
    }

    fn ioctl(&self, command: u32, argument: usize) -> Result<isize> {
        let argument = UserPtr::from_addr(argument);
        match command {
            FIONREAD => self.store_next_read(argument)?,
            uapi::RINGDEV_IOC_INFO => {
                let asked: uapi::ringdev_info = uapi::take(argument)?;
                abi::known_flags(asked.flags, 0)?;
                uapi::give(&self.ring.info(asked.size), argument)?;
            }
            uapi::RINGDEV_IOC_CURSOR => self.give_cursor(argument)?,
            uapi::RINGDEV_IOC_WATERMARK => self.set_watermark(argument)?,
            uapi::RINGDEV_IOC_READ_MODE => self.set_read_mode(argument)?,
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }

    fn signalled(&self, access: Access) -> Lists<'_> {
        let channel = self.channel();
        [
            access.read.then(|| channel.readers().signalled()),
            access.write.then(|| channel.writers().signalled()),
        ]
    }

    fn is_seekable(&self) -> bool {
        // Who only writes has no cursor to move.
        self.channel().is_broadcast() && self.read_end.is_some()
    }

    fn seek(&self, offset: i64, from: SeekFrom) -> Result<i64> {
        if offset != 0 {
            return Err(EINVAL);
        }
        let to = match from {
            SeekFrom::Start => Seek::Oldest,
            SeekFrom::End => Seek::Newest,
        };
        let reader = self.reader().map_err(|_| ESPIPE)?;
        self.channel().seek(reader, to)?;
        Ok(0)
    }

    fn show_fdinfo(&self, to: &SeqFile) {
        report::ring(to, &self.ring.info(0));
        if let Ok(reader) = self.reader() {
            report::cursor(to, &self.channel().cursor_statistics(reader));
        }
    }
}
