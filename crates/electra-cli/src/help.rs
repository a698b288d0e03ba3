//! The help of the whole program: commands by purpose, the most common first, and examples.

use clap::{Command, builder::Styles};
use std::fmt::Write;

/// The commands by purpose.
const GROUPS: [(&str, &[&str]); 7] = [
    ("From text to predictions", &["train", "finetune", "predict", "embed", "fill-mask"]),
    (
        "Pre-training step by step",
        &["vocab", "shards", "presets", "pretrain", "evaluate", "export"],
    ),
    ("Runs", &["runs", "report"]),
    ("Weights of other programs", &["import", "compare"]),
    ("Scores", &["score", "submit", "rescore"]),
    ("Cost and speed", &["flops", "profile", "gpu-check"]),
    ("For developers", &["forward", "gradients"]),
];

const EXAMPLES: &str = "
  electra train --corpus books/ --out runs/books
  electra finetune --task my-task/ --model runs/books/discriminator --out runs/my-task
  electra predict --model runs/my-task --input new.tsv --output predictions.tsv

`electra COMMAND --help` explains a command, with examples.";

/// `command` with a help that lists its subcommands in [`GROUPS`].
pub(crate) fn grouped(command: Command) -> Command {
    let styles = Styles::styled();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let width = command.get_subcommands().map(|command| command.get_name().len()).max();
    let width = width.unwrap_or(0) + 2;
    let mut groups = String::new();
    for (title, names) in GROUPS {
        // Writing to a string cannot fail.
        let _ = writeln!(groups, "{header}{title}:{header:#}");
        for name in names {
            let command = command.find_subcommand(name).expect("the tests check the names");
            let about = command.get_about().cloned().unwrap_or_default();
            let _ = writeln!(
                groups,
                "  {literal}{name}{literal:#}{:pad$}{about}",
                "",
                pad = width - name.len()
            );
        }
        groups.push('\n');
    }
    let examples = format!("{header}Examples:{header:#}{EXAMPLES}");
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{header}Options:{header:#}\n{{options}}\n\n{examples}"
    );
    command.help_template(template)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    #[test]
    fn every_command_is_in_one_group() {
        let command = Cli::command();
        let known: BTreeSet<&str> = command.get_subcommands().map(Command::get_name).collect();
        let listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), known);
        assert_eq!(listed.len(), known.len(), "a command is in two groups");
        Cli::command().debug_assert();
    }
}
