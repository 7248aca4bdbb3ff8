//! `all-docs completions` and `all-docs man`: shell completions and man pages, made from the arguments.

use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

use super::exit;
use super::printer::Printer;
use crate::error::{Error, Result};

/// Print a shell's completions
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  all-docs completions bash > ~/.local/share/bash-completion/completions/all-docs\n  \
                        all-docs completions zsh > ~/.zfunc/_all-docs\n  \
                        all-docs completions fish > ~/.config/fish/completions/all-docs.fish"
)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Write the man pages into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  all-docs man ~/.local/share/man/man1 && man all-docs-ingest")]
pub(super) struct ManArgs {
    /// The folder; it is created if it does not exist
    folder: PathBuf,
}

/// Prints the completions on standard output.
pub(super) fn print_completions(args: CompletionsArgs, mut command: Command, printer: &Printer) -> Result<exit::Code> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "all-docs", &mut script);
    if args.shell == Shell::Bash {
        // For a program with a hyphen in its name, `clap_complete` 4.6 gives a command one label where it is recognised,
        // and another one where its options are.
        script = String::from_utf8_lossy(&script).replace("all__subcmd__docs", "all__docs").into_bytes();
    }
    printer.result_bytes(&script)?;
    Ok(exit::Code::Done)
}

/// Writes a page for the program and one for each command.
pub(super) fn write_man_pages(args: ManArgs, command: Command, printer: &Printer) -> Result<exit::Code> {
    let folder = args.folder;
    std::fs::create_dir_all(&folder)
        .and_then(|()| clap_mangen::generate_to(command.disable_help_subcommand(true), &folder))
        .map_err(|error| Error::input(format!("cannot write man pages into {}", folder.display())).source(error))?;
    printer.note(&format!("the man pages are in {}", folder.display()));
    Ok(exit::Code::Done)
}
