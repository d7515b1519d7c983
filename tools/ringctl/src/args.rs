// SPDX-License-Identifier: GPL-2.0

//! What can be said on the command line. Help and completions are made of this, and
//! the manual page is compared with it.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ringdev::RingName;

use crate::quantity::{parse_delay, parse_mode, parse_seconds, parse_size};

/// Makes, shows, fills and empties the ring buffers under /dev/ring.
///
/// Making, showing and changing rings goes through /dev/ring/control, which is for root, and for
/// the group ringdev where the driver's udev rule is installed. Reading and writing is for whoever
/// the mode of the ring's node admits.
#[derive(Debug, Parser)]
#[command(name = "ringctl", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(Create),

    /// Remove rings
    ///
    /// Their nodes go at once. Who has one open reads what is left, and cannot write any more.
    Destroy {
        /// The rings to remove
        #[arg(required = true, value_name = "RING")]
        rings: Vec<RingName>,
    },

    /// Show which rings there are
    List {
        /// Print an array of JSON objects
        #[arg(long)]
        json: bool,
    },

    Stat(Stat),
    Cat(Cat),
    Write(Write),

    /// Show or set when readers of a ring are woken
    ///
    /// The position of all readers of a ring with shared delivery has a watermark: they sleep until
    /// so many bytes are unread, or the first of these has waited for the delay. With broadcast
    /// delivery each reader has a watermark of its own, which only it can set.
    Watermark {
        /// The ring
        ring: RingName,
        /// At most half of the capacity, such as 4K; 0 wakes readers at once
        #[arg(value_parser = parse_size)]
        bytes: Option<u64>,
        /// The longest that a byte waits, such as 500us, 10ms or 1s
        #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_delay)]
        delay: Duration,
    },

    /// Give a ring another capacity and keep what is in it
    Resize {
        /// The ring
        ring: RingName,
        /// A power of two, such as 64K or 1M
        #[arg(value_parser = parse_size)]
        capacity: u64,
    },

    /// Throw away what is in rings
    Clear {
        /// The rings to empty
        #[arg(required = true, value_name = "RING")]
        rings: Vec<RingName>,
    },

    /// Part a reader from a ring with broadcast delivery
    ///
    /// Nobody waits for it any more, and its next read fails.
    Evict {
        /// The ring
        ring: RingName,
        /// The number of its cursor, as stat shows it
        cursor: u64,
    },

    /// Print a script that completes ringctl's arguments in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Make a ring
///
/// Unless said otherwise it is like /dev/ring/0: a stream of bytes where writers wait when it is
/// full, and readers compete for what is in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Its name: 1 to 31 of A-Z a-z 0-9 . _ -, but not '.', '..' or 'control'
    pub(crate) ring: RingName,

    /// A power of two, such as 64K or 1M
    #[arg(short, long, value_name = "SIZE", default_value = "256K", value_parser = parse_size)]
    pub(crate) capacity: u64,

    /// What it keeps apart
    #[arg(long, value_enum, default_value_t)]
    pub(crate) framing: Framing,

    /// What a write meets when there is no room
    #[arg(long, value_enum, default_value_t)]
    pub(crate) full: Full,

    /// Who gets the data
    #[arg(long, value_enum, default_value_t)]
    pub(crate) delivery: Delivery,

    /// End as a FIFO does: end of file without writers, EPIPE without readers
    #[arg(long)]
    pub(crate) hangup: bool,

    /// Permission bits of its node, in octal
    #[arg(short, long, default_value = "0600", value_parser = parse_mode)]
    pub(crate) mode: u32,

    /// Owner of its node, by number [default: you]
    #[arg(long)]
    pub(crate) uid: Option<u32>,

    /// Group of its node, by number [default: yours]
    #[arg(long)]
    pub(crate) gid: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Framing {
    /// Nothing: it is a stream of bytes
    #[default]
    Stream,
    /// Records: one write, one record
    Record,
}

impl From<Framing> for ringdev::Framing {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Stream => Self::Stream,
            Framing::Record => Self::Record,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Full {
    /// It waits
    #[default]
    Block,
    /// It is refused, and counted
    Drop,
    /// The oldest data make room, and are counted
    Overwrite,
}

impl From<Full> for ringdev::Full {
    fn from(full: Full) -> Self {
        match full {
            Full::Block => Self::Block,
            Full::Drop => Self::Drop,
            Full::Overwrite => Self::Overwrite,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Delivery {
    /// Readers compete: each byte or record goes to one
    #[default]
    Shared,
    /// Each reader sees everything
    Broadcast,
}

impl From<Delivery> for ringdev::Delivery {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Shared => Self::Shared,
            Delivery::Broadcast => Self::Broadcast,
        }
    }
}

/// Show what happens in rings
///
/// On a terminal the display is live and shows rates; Ctrl-C ends it. Else it is what has happened
/// since each ring was made.
#[derive(Debug, clap::Args)]
pub(crate) struct Stat {
    /// The rings to show [default: all]
    #[arg(value_name = "RING")]
    pub(crate) rings: Vec<RingName>,

    /// Show it again each so many seconds, wherever the output goes
    #[arg(short, long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) watch: Option<Duration>,

    /// Show it once, even on a terminal
    #[arg(long, conflicts_with = "watch")]
    pub(crate) once: bool,

    /// Print JSON: once an array of objects, or each time a line with one
    #[arg(long)]
    pub(crate) json: bool,
}

/// Read a ring and write it to stdout
///
/// What is read is gone from a ring with shared delivery. A signal such as Ctrl-C ends ringctl once
/// it has written what it has read.
#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// The ring
    #[arg(default_value = "0")]
    pub(crate) ring: RingName,

    /// Wait for more when the ring is empty
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Begin each record with its time and number, and say what was lost. Records are then read
    /// many at once
    #[arg(long)]
    pub(crate) headers: bool,

    /// Print a JSON object for each record, on a line. Records are read many at once
    #[arg(long, conflicts_with = "headers")]
    pub(crate) json: bool,
}

/// Write to a ring
///
/// Writes the arguments, or else stdin. Of a ring with records, each argument and each line of
/// stdin is a record. They end in a newline, so that cat shows lines. To a stream, stdin is copied
/// as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Write {
    /// The ring
    pub(crate) ring: RingName,

    /// What to write
    #[arg(value_name = "RECORD")]
    pub(crate) records: Vec<OsString>,

    /// Make one record of all that stdin has, as it is
    #[arg(long, conflicts_with = "records")]
    pub(crate) whole: bool,

    /// Leave the newlines out, and with them empty lines, as no record is empty
    #[arg(short, long, conflicts_with = "whole")]
    pub(crate) no_newline: bool,

    /// Fail when the ring is full instead of waiting
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Command, ErrorKind> {
        Args::try_parse_from(line.split(' '))
            .map(|args| args.command)
            .map_err(|error| error.kind())
    }

    #[test]
    fn the_definitions_are_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn create_takes_what_a_ring_is_made_of() {
        let line = "ringctl create log -c 1M --framing record --full overwrite -m 644 --uid 7";
        let Ok(Command::Create(create)) = parse(line) else {
            panic!("it is a command");
        };
        assert_eq!(create.ring.as_str(), "log");
        assert_eq!(create.capacity, 1 << 20);
        assert_eq!(
            ringdev::Framing::from(create.framing),
            ringdev::Framing::Record
        );
        assert_eq!(ringdev::Full::from(create.full), ringdev::Full::Overwrite);
        assert_eq!(create.mode, 0o644);
        assert_eq!((create.uid, create.gid), (Some(7), None));
    }

    #[test]
    fn a_ring_that_cannot_be_is_a_usage_error() {
        for line in [
            "ringctl create a/b",
            "ringctl create control",
            "ringctl create log --capacity many",
            "ringctl create log --mode 999",
        ] {
            assert_eq!(parse(line).err(), Some(ErrorKind::ValueValidation));
        }
        let none = parse("ringctl destroy").err();
        assert_eq!(none, Some(ErrorKind::MissingRequiredArgument));
    }

    /// What a page of the manual says under a title that is underlined in a certain way.
    fn section<'a>(page: &'a str, title: &str, underline: &str) -> &'a str {
        let head = format!("\n{title}\n{}\n", underline.repeat(title.len()));
        let (_, text) = page.split_once(&head).expect(title);
        let end = text
            .lines()
            .zip(text.lines().skip(1))
            .find(|(_, below)| below.len() > 2 && below.chars().all(|c| c == '-' || c == '='));
        end.map_or(text, |(next, _)| {
            let (section, _) = text
                .split_once(&format!("\n{next}\n"))
                .expect("it is there");
            section
        })
    }

    /// An option as an option list of reStructuredText has it: `-c SIZE, --capacity SIZE`.
    fn in_a_list(option: &clap::Arg) -> String {
        let value = match option.get_value_names() {
            Some(names) if option.get_action().takes_values() => format!(" {}", names[0]),
            _ => String::new(),
        };
        let short = option.get_short().map(|short| format!("-{short}{value}"));
        let long = option.get_long().map(|long| format!("--{long}{value}"));
        let forms: Vec<String> = short.into_iter().chain(long).collect();
        forms.join(", ")
    }

    fn options_of(command: &clap::Command) -> Vec<String> {
        let arguments = command.get_arguments();
        arguments
            .filter(|argument| !argument.is_positional())
            .map(in_a_list)
            .collect()
    }

    /// The options in a section: what begins with a hyphen at the margin, as far as it is that.
    fn options(section: &str) -> Vec<&str> {
        let items = section.lines().filter(|line| line.starts_with('-'));
        items
            .map(|line| line.split("  ").next().unwrap_or(line))
            .collect()
    }

    #[test]
    fn the_manual_page_names_each_command_and_option_and_no_other() {
        let page = include_str!("../../../Documentation/man/ringctl.rst");
        let mut ringctl = Args::command();
        ringctl.build();
        let general = options_of(&ringctl);
        assert_eq!(options(section(page, "Description", "=")), general);

        let mut titles = Vec::new();
        for command in ringctl.get_subcommands_mut() {
            let section = section(page, command.get_name(), "-");
            let usage = command.render_usage().to_string();
            let usage = usage.trim_start_matches("Usage: ");
            assert!(section.contains(&format!("::\n\n    {usage}\n")), "{usage}");
            let mut expected = options_of(command);
            expected.retain(|option| !general.contains(option));
            assert_eq!(options(section), expected, "{}", command.get_name());
            titles.push(command.get_name().to_owned());
        }
        let commands = page.split_once("\nCommands\n").expect("a section").1;
        let found = commands.lines().zip(commands.lines().skip(1));
        let found = found.filter(|(_, below)| below.len() > 2 && below.chars().all(|c| c == '-'));
        let found: Vec<&str> = found.map(|(title, _)| title).collect();
        assert_eq!(found, titles);
    }

    /// The calls of ringctl that a document shows as code: behind a prompt, a pipe or a backtick,
    /// and up to what belongs to the shell.
    fn calls(document: &str) -> Vec<&str> {
        let found = document.match_indices("ringctl ");
        let shown = found.filter(|(at, _)| {
            let before = &document[..*at];
            before.ends_with('`') || before.trim_end_matches(' ').ends_with(['#', '$', '|'])
        });
        let calls = shown.map(|(at, _)| {
            let call = &document[at..];
            let end = call.find(['`', '\n', '|', ';', '>', '&', '#']);
            call[..end.unwrap_or(call.len())].trim_end()
        });
        calls.collect()
    }

    #[test]
    fn each_call_that_a_document_shows_is_understood() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let documents = std::fs::read_dir(root.join("Documentation")).expect("the documents");
        let mut files: Vec<_> = documents
            .map(|entry| entry.expect("a name").path())
            .collect();
        files.retain(|file| file.extension().is_some_and(|kind| kind == "rst"));
        files.extend([
            root.join("README.md"),
            root.join("Documentation/man/ring.rst"),
        ]);
        let mut count = 0;
        for file in files {
            let text = std::fs::read_to_string(&file).expect("read a document");
            for call in calls(&text) {
                // Where the document says N, a number is meant.
                let parsed = parse(format!("{call} ").replace(" N ", " 1 ").trim_end());
                // It may show options alone.
                let understood = matches!(parsed, Ok(_) | Err(ErrorKind::MissingRequiredArgument));
                assert!(understood, "{}: {call}: {parsed:?}", file.display());
                count += 1;
            }
        }
        assert!(count > 5, "{count}");
    }

    #[test]
    fn calls_are_found_in_code_alone() {
        let text = "Then `/bin` ringctl is called as `ringctl list --json`:\n\n    # ringctl cat x | wc\n\
                    \x20   # seq 9 | ringctl write x; ls\n\n`ringctl` is\n``ringctl\nstat``.";
        let found = ["ringctl list --json", "ringctl cat x", "ringctl write x"];
        assert_eq!(calls(text), found);
    }

    #[test]
    fn cat_reads_the_default_ring() {
        let Ok(Command::Cat(cat)) = parse("ringctl cat") else {
            panic!("it is a command");
        };
        assert_eq!(cat.ring.as_str(), "0");
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "ringctl cat --headers --json",
            "ringctl write log --whole x",
            "ringctl write log --whole -n",
            "ringctl stat --once --watch 1",
        ] {
            assert_eq!(parse(line).err(), Some(ErrorKind::ArgumentConflict));
        }
    }
}
