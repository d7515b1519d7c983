// SPDX-License-Identifier: GPL-2.0

//! `ringctl completions` and `ringctl man`: what ringctl says of itself to shells and to man.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use clap_mangen::{Man, generate_to};

use crate::args::Args;
use crate::failure::{Failure, Outcome};
use crate::output::print;

pub(crate) fn completions(shell: Shell) -> Outcome {
    print(completion_script(shell))
}

// Into memory first: the generator panics if stdout is gone.
fn completion_script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Args::command(), "ringctl", &mut script);
    script
}

pub(crate) fn man(directory: Option<&Path>) -> Outcome {
    let command = Args::command();
    match directory {
        Some(directory) => {
            let what = format!("write manual pages to {}", directory.display());
            generate_to(command, directory).map_err(Failure::other(what))
        }
        None => {
            let mut page = Vec::new();
            Man::new(command)
                .render(&mut page)
                .map_err(Failure::other("make the manual page"))?;
            print(page)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_shell_learns_each_command() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completion_script(*shell)).expect("text");
            for command in Args::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}");
            }
        }
    }

    #[test]
    fn each_command_has_a_manual_page() {
        let directory = env::temp_dir().join(format!("ringctl-man-{}", process::id()));
        fs::create_dir_all(&directory).expect("a directory for temporary files");
        man(Some(&directory)).expect("pages");
        for command in Args::command().get_subcommands() {
            let page = directory.join(format!("ringctl-{}.1", command.get_name()));
            assert!(page.exists(), "{}", page.display());
        }
        fs::remove_dir_all(&directory).expect("the directory goes");
    }
}
