// SPDX-License-Identifier: GPL-2.0

//! Standard output, whose errors are told apart from those of rings.

use std::io::{self, BufWriter, StdoutLock, Write};

use crate::failure::{Failure, Outcome};

/// Standard output through a buffer. It must be flushed, else its last errors go unnoticed.
pub(crate) struct Output {
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self {
            stdout: BufWriter::new(io::stdout().lock()),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Outcome {
        self.stdout.write_all(bytes).map_err(Failure::Output)
    }

    pub(crate) fn flush(&mut self) -> Outcome {
        self.stdout.flush().map_err(Failure::Output)
    }
}

/// Writes all of `text`.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Outcome {
    let mut output = Output::new();
    output.write(text.as_ref())?;
    output.flush()
}
