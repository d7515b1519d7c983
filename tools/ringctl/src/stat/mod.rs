// SPDX-License-Identifier: GPL-2.0

//! `ringctl stat`: what happens in rings, once or again and again.

mod display;
pub(crate) mod sample;

use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use crate::args::Stat;
use crate::failure::Outcome;
use crate::json;
use crate::manage::Rings;
use crate::output::print;
use crate::terminal::{self, Style};
use sample::Sample;

/// How often a live display is drawn unless said otherwise.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(rings: &impl Rings, args: &Stat) -> Outcome {
    let mut display = Display::new(args, io::stdout().is_terminal(), Style::of_stdout());
    if let Some(text) = display.first() {
        print(text)?;
    }
    loop {
        let sample = Sample::take(rings, &args.rings)?;
        print(display.next(sample, terminal::dimensions(io::stdout())))?;
        match display.interval {
            Some(interval) => thread::sleep(interval),
            None => return Ok(()),
        }
    }
}

/// How samples are shown.
struct Display {
    form: Form,
    style: Style,
    /// From one to the next; none if there is only one.
    interval: Option<Duration>,
    earlier: Option<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    /// Over what was there before.
    Screen,
    Text,
}

impl Display {
    fn new(args: &Stat, is_terminal: bool, style: Style) -> Self {
        let form = match (args.json, is_terminal) {
            (true, _) => Form::Json,
            (false, true) => Form::Screen,
            (false, false) => Form::Text,
        };
        let live = form == Form::Screen && !args.once;
        Self {
            form,
            style,
            interval: args.watch.or(live.then_some(INTERVAL)),
            earlier: None,
        }
    }

    /// Returns what comes before all samples.
    fn first(&self) -> Option<&'static str> {
        let clears = self.form == Form::Screen && self.interval.is_some();
        clears.then_some("\x1b[2J")
    }

    /// Returns the next sample as it is shown.
    fn next(&mut self, sample: Sample, dimensions: (usize, usize)) -> String {
        let earlier = self.earlier.as_ref();
        let once = self.interval.is_none();
        let text = match self.form {
            Form::Json if once => json::lines(&json::sample(&sample, None)),
            Form::Json => json::line(&json::sample(&sample, earlier)),
            _ if once => display::totals(&sample, self.style),
            Form::Screen => {
                terminal::frame(&display::live(&sample, earlier, self.style), dimensions)
            }
            Form::Text => {
                let lines = display::live(&sample, earlier, Style::Plain);
                let lines: Vec<String> = lines.into_iter().map(|(_, line)| line + "\n").collect();
                lines.concat() + "\n"
            }
        };
        self.earlier = Some(sample);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use clap::Parser;

    use super::sample::made_up::busy;
    use super::*;
    use crate::args::{Args, Command};

    fn display(options: &str, is_terminal: bool) -> Display {
        let line = format!("ringctl stat {options}");
        let args = Args::try_parse_from(line.split_whitespace()).expect("a command line");
        let Command::Stat(args) = args.command else {
            panic!("it is another command");
        };
        Display::new(&args, is_terminal, Style::Terminal)
    }

    #[test]
    fn only_a_terminal_is_live_unless_that_is_asked_for() {
        let second = Some(Duration::from_secs(1));
        let half = Some(Duration::from_millis(500));
        for (options, is_terminal, form, interval, clears) in [
            ("", false, Form::Text, None, false),
            ("", true, Form::Screen, second, true),
            ("--once", true, Form::Screen, None, false),
            ("--json", true, Form::Json, None, false),
            ("--json", false, Form::Json, None, false),
            ("-w 0.5", false, Form::Text, half, false),
            ("-w 0.5", true, Form::Screen, half, true),
            ("-w 0.5 --json", true, Form::Json, half, false),
        ] {
            let display = display(options, is_terminal);
            assert_eq!(display.form, form, "{options}");
            assert_eq!(display.interval, interval, "{options}");
            assert_eq!(display.first().is_some(), clears, "{options}");
        }
    }

    /// Two samples, a second apart, as they are shown with these options.
    fn shown(options: &str, is_terminal: bool) -> [String; 2] {
        let mut display = display(options, is_terminal);
        let start = Instant::now();
        [(0, 1), (1, 2)].map(|(seconds, times)| {
            let sample = busy(start + Duration::from_secs(seconds), times);
            display.next(sample, (3, 60))
        })
    }

    #[test]
    fn once_it_is_what_has_happened() {
        for is_terminal in [false, true] {
            let [first, second] = shown("--once", is_terminal);
            let bold = "\x1b[1mRING  CAPACITY  UNREAD  HIGH   IN ";
            assert!(first.starts_with(bold), "{first:?}");
            assert!(second.contains(" 202 "), "{second}");
        }
        let [first, second] = shown("--json", false);
        assert!(first.lines().count() > 30, "{first}");
        assert!(!second.contains("per_second"), "{second}");
    }

    #[test]
    fn again_and_again_it_is_what_happens() {
        let [first, second] = shown("-w 1", false);
        assert!(
            first.starts_with("RING  CAPACITY  UNREAD  HIGH  IN/s "),
            "{first:?}"
        );
        assert!(first.contains("75r 76w\n\nRING  CURSOR "), "{first}");
        assert!(first.ends_with("84us\n\n"), "{first:?}");
        assert!(!first.contains(" 101 "), "{first}");
        assert!(second.contains(" 101 "), "{second}");
        assert!(second.ends_with("84us\n\n"), "{second:?}");

        let [first, second] = shown("-w 1 --json", false);
        assert_eq!(first.lines().count(), 1);
        assert!(!first.contains("per_second"), "{first}");
        assert_eq!(second.lines().count(), 1);
        assert!(
            second.contains("\"per_second\":{\"records_in\":101.0"),
            "{second}"
        );
    }

    #[test]
    fn a_terminal_shows_what_fits_on_it() {
        let [first, second] = shown("-w 1", true);
        assert!(
            first.starts_with("\x1b[H\x1b[1mRING  CAPACITY"),
            "{first:?}"
        );
        assert_eq!(first.matches('\n').count(), 2, "{first:?}");
        let row = second.lines().nth(1).expect("a row");
        assert_eq!(row.len(), 60, "{row:?}");
        assert!(row.contains(" 101 "), "{row:?}");
    }
}
