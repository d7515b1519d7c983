// SPDX-License-Identifier: GPL-2.0

//! How ringctl fails: in one line that says what failed, why, and what to do.

use std::fmt::{self, Display};
use std::io;

use ringdev::{Call, explain};

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

#[derive(Debug)]
pub(crate) enum Failure {
    /// A call of the library.
    Ring {
        /// What it was for, as the rest of "cannot ...".
        what: String,
        call: Call,
        error: io::Error,
    },
    /// Something else that reads or writes.
    Other { what: String, error: io::Error },
    /// Standard output.
    Output(io::Error),
    /// What ringctl itself does not do.
    Refused { what: String, why: &'static str },
}

impl Failure {
    /// Makes a failure of the error of a call, for `map_err`.
    pub(crate) fn ring(call: Call, what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Ring {
            what: what.into(),
            call,
            error,
        }
    }

    /// Makes a failure of another error, for `map_err`.
    pub(crate) fn other(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Other {
            what: what.into(),
            error,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring { what, call, error } => match explain(*call, error) {
                Some(meaning) => write!(f, "cannot {what}: {meaning} [{error}]"),
                None => write!(f, "cannot {what}: {error}"),
            },
            Self::Other { what, error } => write!(f, "cannot {what}: {error}"),
            Self::Output(error) => write!(f, "cannot write to stdout: {error}"),
            Self::Refused { what, why } => write!(f, "cannot {what}: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_and_why_and_what_to_do() {
        const EEXIST: i32 = 17;
        let error = io::Error::from_raw_os_error(EEXIST);
        let failure = Failure::ring(Call::Create, "create ring log")(error);
        assert_eq!(
            failure.to_string(),
            "cannot create ring log: a ring of this name exists; choose another name, or destroy \
             that one first [File exists (os error 17)]"
        );
    }

    #[test]
    fn an_errno_without_a_meaning_of_its_own_speaks_for_itself() {
        const EIO: i32 = 5;
        let error = io::Error::from_raw_os_error(EIO);
        let failure = Failure::ring(Call::Read, "read ring log")(error);
        assert_eq!(
            failure.to_string(),
            "cannot read ring log: Input/output error (os error 5)"
        );
    }
    #[test]
    fn what_is_not_a_ring_is_told_likewise() {
        const EIO: i32 = 5;
        let error = || io::Error::from_raw_os_error(EIO);
        for (failure, said) in [
            (
                Failure::other("read from stdin")(error()),
                "cannot read from stdin: Input/output error (os error 5)",
            ),
            (
                Failure::Output(error()),
                "cannot write to stdout: Input/output error (os error 5)",
            ),
            (
                Failure::Refused {
                    what: "do that".into(),
                    why: "it is wrong",
                },
                "cannot do that: it is wrong",
            ),
        ] {
            assert_eq!(failure.to_string(), said);
        }
    }
}
