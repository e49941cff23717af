//! See the library of the same package.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(lithify_cli::run(std::env::args_os()))
}
