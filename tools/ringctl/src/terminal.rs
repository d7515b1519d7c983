// SPDX-License-Identifier: GPL-2.0

//! What is done only on a terminal: bold headings, and drawing over what was drawn before.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

/// Whether output is decorated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Terminal,
}

impl Style {
    /// How to write to stdout. `NO_COLOR` is heeded, as <https://no-color.org> says.
    pub(crate) fn of_stdout() -> Self {
        Self::of(&io::stdout(), env::var_os("NO_COLOR"))
    }

    fn of(output: &impl IsTerminal, no_color: Option<OsString>) -> Self {
        let unwanted = no_color.is_some_and(|value| !value.is_empty());
        if output.is_terminal() && !unwanted {
            Self::Terminal
        } else {
            Self::Plain
        }
    }

    /// A heading.
    pub(crate) fn heading(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Terminal => format!("\x1b[1m{text}\x1b[m"),
        }
    }

    /// The lines of a table, the first of which is a heading.
    pub(crate) fn table(self, lines: &[String]) -> String {
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            match number {
                0 => text += &self.heading(line),
                _ => text += line,
            }
            text.push('\n');
        }
        text
    }
}

/// The rows and columns of a terminal.
pub(crate) fn dimensions(terminal: impl AsFd) -> (usize, usize) {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        // It does not say: what terminals have had since there are any.
        _ => (24, 80),
    }
}

/// What draws these lines over the whole screen, as far as they fit on it, without flicker. Each
/// has its style, which takes no room. The last row is left to the shell that comes after.
pub(crate) fn frame(lines: &[(Style, String)], (rows, columns): (usize, usize)) -> String {
    let mut text = String::from("\x1b[H");
    for (style, line) in lines.iter().take(rows.saturating_sub(1)) {
        let end = line
            .char_indices()
            .nth(columns)
            .map_or(line.len(), |(at, _)| at);
        text += &style.heading(&line[..end]);
        // Where a line fills the row the cursor may still be on its last character, and nothing is
        // left to erase.
        if line.len() < columns {
            text += "\x1b[K";
        }
        text.push('\n');
    }
    text + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    use super::*;

    /// The two sides of a terminal.
    fn terminal() -> (File, File) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let outside = openpt(flags).expect("a terminal");
        unlockpt(&outside).expect("a terminal");
        let inside = ioctl_tiocgptpeer(&outside, flags).expect("its other side");
        (outside.into(), inside.into())
    }

    #[test]
    fn only_a_terminal_is_decorated_and_only_if_that_is_wanted() {
        let (_outside, inside) = terminal();
        let value = |text: &str| Some(OsString::from(text));
        assert_eq!(Style::of(&inside, None), Style::Terminal);
        assert_eq!(Style::of(&inside, value("")), Style::Terminal);
        assert_eq!(Style::of(&inside, value("1")), Style::Plain);
        let null = File::open("/dev/null").expect("a device");
        assert_eq!(Style::of(&null, None), Style::Plain);
    }

    #[test]
    fn a_terminal_is_as_large_as_it_says() {
        let (_outside, inside) = terminal();
        let mut size = Winsize {
            ws_row: 7,
            ws_col: 9,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&inside, size).expect("a terminal");
        assert_eq!(dimensions(&inside), (7, 9));
        size.ws_row = 0;
        tcsetwinsize(&inside, size).expect("a terminal");
        assert_eq!(dimensions(&inside), (24, 80));
        (size.ws_row, size.ws_col) = (7, 0);
        tcsetwinsize(&inside, size).expect("a terminal");
        assert_eq!(dimensions(&inside), (24, 80));
        let null = File::open("/dev/null").expect("a device");
        assert_eq!(dimensions(null), (24, 80));
    }

    #[test]
    fn only_the_headings_are_bold() {
        let lines = ["HEAD".to_owned(), "row".to_owned()];
        assert_eq!(Style::Plain.table(&lines), "HEAD\nrow\n");
        assert_eq!(Style::Terminal.table(&lines), "\x1b[1mHEAD\x1b[m\nrow\n");
    }

    #[test]
    fn a_frame_is_cut_to_the_screen() {
        let lines = [
            (Style::Terminal, "a heading".to_owned()),
            (Style::Plain, "row".to_owned()),
            (Style::Plain, "below the edge".to_owned()),
        ];
        assert_eq!(
            frame(&lines, (3, 5)),
            "\x1b[H\x1b[1ma hea\x1b[m\nrow\x1b[K\n\x1b[J"
        );
    }
    #[test]
    fn a_line_that_fills_a_row_leaves_nothing_to_erase() {
        let frame = |line: &str| frame(&[(Style::Plain, line.to_owned())], (9, 5));
        assert_eq!(frame("four"), "\x1b[Hfour\x1b[K\n\x1b[J");
        assert_eq!(frame("five!"), "\x1b[Hfive!\n\x1b[J");
        assert_eq!(frame("sixth!"), "\x1b[Hsixth\n\x1b[J");
    }
}
