//! The program where it can not run.

use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    eprintln!("TAP devices are a feature of Linux; here, try the example `echo`");
    ExitCode::from(2)
}
