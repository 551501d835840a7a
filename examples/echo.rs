//! The main job: one echo program, two networks, two ways to wait.
//!
//! ```text
//! cargo run --release --example echo
//! ```
//! starts an echo server and clients on two emulated hosts, checks every byte that comes back, first with tasks, then
//! with blocking threads on the same sockets; prints the journey of one request through the receive path, and a table of
//! what each way to wait has cost. `--backend os` runs the same code on the operating system's network.

#[path = "echo/args.rs"]
mod args;
#[path = "echo/journey.rs"]
mod journey;
#[path = "echo/measure.rs"]
mod measure;
#[path = "echo/report.rs"]
mod report;
#[path = "echo/tasks.rs"]
mod tasks;
#[path = "echo/threads.rs"]
mod threads;

use args::{Args, Backend, Mode};
use clap::Parser;
use measure::Outcome;
use std::io;
use std::process::ExitCode;
use wakeline::net::TcpListener;
use wakeline::runtime::Builder;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("echo: {}", failure.text);
            ExitCode::from(failure.code)
        }
    }
}

/// Why the program ends early: one line, and the exit code.
struct Failure {
    text: String,
    code: u8,
}

/// The exit code for input that can not be served.
const BAD_INPUT: u8 = 2;

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure { text: error.to_string(), code: 1 }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    args.check().map_err(|text| Failure { text, code: BAD_INPUT })?;
    if let Some(addr) = &args.listen {
        return listen(addr);
    }
    let modes: &[Mode] = match args.mode {
        Mode::Async => &[Mode::Async],
        Mode::Blocking => &[Mode::Blocking],
        Mode::Both => &[Mode::Async, Mode::Blocking],
    };
    if args.backend == Backend::Emulated && !args.json {
        journey::print(args)?;
    }
    let mut outcomes: Vec<Outcome> = Vec::new();
    for &mode in modes {
        let outcome = match mode {
            Mode::Blocking => threads::run(args)?,
            Mode::Async | Mode::Both => tasks::run(args)?,
        };
        if args.json {
            println!("{}", report::json(args, &outcome));
        }
        outcomes.push(outcome);
    }
    if !args.json {
        report::table(args, &outcomes);
    }
    Ok(())
}

/// Serves on the operating system's network until the process is interrupted.
fn listen(addr: &str) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let bad = |error: io::Error| Failure { text: format!("cannot listen on {addr}: {error}"), code: BAD_INPUT };
        let listener = TcpListener::bind(addr).await.map_err(bad)?;
        println!("listening on {}, until Ctrl-C", listener.local_addr()?);
        tasks::serve(listener).await?;
        Ok(())
    })
}
