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
    printer.result_bytes(&completions(args.shell, &mut command))?;
    Ok(exit::Code::Done)
}

fn completions(shell: Shell, command: &mut Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "all-docs", &mut script);
    if shell != Shell::Bash {
        return script;
    }
    // For a program with a hyphen in its name, `clap_complete` 4.6 gives a command one label where it is recognised, and
    // another one where its options are.
    String::from_utf8_lossy(&script).replace("all__subcmd__docs", "all__docs").into_bytes()
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

// Without SQL the command `query` has no options.
#[cfg(all(test, feature = "query"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command as Process;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Args;

    /// Returns what bash offers for a line of words, the last of which is being typed.
    fn offered(script: &std::path::Path, words: &[&str]) -> Vec<String> {
        let (last, before) = (words.last().unwrap(), words[words.len() - 2]);
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let asked = format!(
            "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; _all__docs all-docs '{last}' '{before}'; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            quoted.join(" "),
            words.len() - 1,
        );
        let output = Process::new("bash").args(["--norc", "-c", &asked]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    #[allow(clippy::print_stdout)]
    fn bash_completes_commands_their_options_and_the_values_of_these() {
        if Process::new("bash").arg("--version").output().is_err() {
            println!("skipped: there is no bash");
            return;
        }
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), completions(Shell::Bash, &mut Args::command())).unwrap();
        for (words, expected) in [
            (&["all-docs", "verif"][..], "verify"),
            (&["all-docs", "verify", "--rep"], "--repair"),
            (&["all-docs", "cache", "validate-p"], "validate-partitions"),
            (&["all-docs", "cache", "validate-partitions", "--lak"], "--lake"),
            (&["all-docs", "packument", "export", "--form"], "--format"),
            (&["all-docs", "packument", "export", "--format", "nd"], "ndjson"),
            (&["all-docs", "completions", "ba"], "bash"),
        ] {
            let offered = offered(script.path(), words);
            assert!(offered.iter().any(|word| word == expected), "{words:?}: {offered:?}");
        }
        // Every command has its options.
        for command in Args::command().get_subcommands() {
            let offered = offered(script.path(), &["all-docs", command.get_name(), "--he"]);
            assert!(offered.iter().any(|word| word == "--help"), "{}: {offered:?}", command.get_name());
        }
    }
}
