// SPDX-License-Identifier: GPL-2.0

//! `ringctl completions`: what ringctl says of itself to shells.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Args;
use crate::failure::Outcome;
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

#[cfg(test)]
mod tests {
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
}
