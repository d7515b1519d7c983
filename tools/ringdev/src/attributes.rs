// SPDX-License-Identifier: GPL-2.0

//! The choices that are made when a ring is made.

use std::fmt::{self, Display};

use crate::abi;

/// Makes the type of a choice: its values, their numbers in the ABI, and their names for people.
macro_rules! choice {
    (
        $(#[$doc:meta])*
        $type:ident { $($(#[$value_doc:meta])* $value:ident = $number:path, $name:literal;)+ }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $type {
            $($(#[$value_doc])* $value,)+
            /// A number that this library has no name for: the module is newer.
            Other(u32),
        }

        impl $type {
            pub(crate) fn from_abi(number: u32) -> Self {
                match number {
                    $($number => Self::$value,)+
                    other => Self::Other(other),
                }
            }

            pub(crate) fn to_abi(self) -> u32 {
                match self {
                    $(Self::$value => $number,)+
                    Self::Other(number) => number,
                }
            }
        }

        impl Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$value => f.pad($name),)+
                    Self::Other(number) => f.pad(&number.to_string()),
                }
            }
        }
    };
}

choice! {
    /// What a ring keeps apart.
    Framing {
        /// Nothing: it is a stream of bytes.
        Stream = abi::STREAM, "stream";
        /// Records: what one write puts in, one read takes out.
        Record = abi::RECORD, "record";
    }
}

choice! {
    /// What a write meets when there is no room for it.
    Full {
        /// It waits.
        Block = abi::BLOCK, "block";
        /// It is refused with `ENOBUFS`, and counted.
        Drop = abi::DROP, "drop";
        /// The oldest data make room, and are counted.
        Overwrite = abi::OVERWRITE, "overwrite";
    }
}

choice! {
    /// Who gets the data.
    Delivery {
        /// Readers compete: each byte or record goes to one of them.
        Shared = abi::SHARED, "shared";
        /// Each endpoint that reads sees everything.
        Broadcast = abi::BROADCAST, "broadcast";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_way_there_and_back() {
        for number in [0, 1, 2, 3, u32::MAX] {
            assert_eq!(Framing::from_abi(number).to_abi(), number);
            assert_eq!(Full::from_abi(number).to_abi(), number);
            assert_eq!(Delivery::from_abi(number).to_abi(), number);
        }
    }

    #[test]
    fn each_choice_has_its_name() {
        let framings = [Framing::Stream, Framing::Record];
        assert_eq!(framings.map(|it| it.to_string()), ["stream", "record"]);
        let fulls = [Full::Block, Full::Drop, Full::Overwrite];
        let names = fulls.map(|it| it.to_string());
        assert_eq!(names, ["block", "drop", "overwrite"]);
        let deliveries = [Delivery::Shared, Delivery::Broadcast];
        let names = deliveries.map(|it| it.to_string());
        assert_eq!(names, ["shared", "broadcast"]);
    }

    #[test]
    fn what_a_newer_module_has_is_shown_as_its_number() {
        assert_eq!(Full::from_abi(2).to_string(), "overwrite");
        assert_eq!(Framing::from_abi(8).to_string(), "8");
        assert_eq!(format!("{:>3}", Delivery::from_abi(9)), "  9");
        assert_eq!(Full::from_abi(7).to_string(), "7");
        assert_eq!(format!("{:>9}", Delivery::Shared), "   shared");
    }
}
