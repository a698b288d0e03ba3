//! The `electra` command with the built-in parts, objectives and kinds of tasks.

fn main() -> std::process::ExitCode {
    electra_cli::main()
}
