//! See the library of the same package.

use std::process::ExitCode;

fn main() -> ExitCode {
    let program = std::env::current_exe().unwrap_or_else(|_| "lithify".into());
    ExitCode::from(lithify_cli::run(std::env::args_os(), &program))
}
