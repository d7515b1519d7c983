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
use crate::manage::control;
use crate::output::print;
use crate::terminal::{self, Style};
use sample::Sample;

/// How often a live display is drawn unless said otherwise.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Stat) -> Outcome {
    let terminal = io::stdout().is_terminal() && !args.json;
    let interval = match args.watch {
        None if terminal && !args.once => Some(INTERVAL),
        interval => interval,
    };
    let control = control()?;
    let Some(interval) = interval else {
        let sample = Sample::take(&control, &args.rings)?;
        return print(if args.json {
            json::lines(&json::sample(&sample, None))
        } else {
            display::totals(&sample, Style::of_stdout())
        });
    };

    if terminal {
        print("\x1b[2J")?;
    }
    let mut earlier = None;
    loop {
        let sample = Sample::take(&control, &args.rings)?;
        print(if args.json {
            json::line(&json::sample(&sample, earlier.as_ref()))
        } else if terminal {
            let lines = display::live(&sample, earlier.as_ref(), Style::of_stdout());
            terminal::frame(&lines, terminal::dimensions())
        } else {
            let lines = display::live(&sample, earlier.as_ref(), Style::Plain);
            let lines: Vec<String> = lines.into_iter().map(|(_, line)| line + "\n").collect();
            lines.concat() + "\n"
        })?;
        earlier = Some(sample);
        thread::sleep(interval);
    }
}
