//! What the TAP examples share: the command line, and one emulated host behind a TAP device.

use clap::Parser;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use wakeline::net::emulated::{Capture, Host, Lan, Netem, Offloads, Tap, TapPort};
use wakeline::runtime::Builder;

/// A server on an emulated host behind a TAP device.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    /// The TAP device, which is made when there is none and this user may.
    #[arg(long, default_value = "tap0", value_name = "NAME")]
    tap: String,

    /// The port to listen on [default: the protocol's own].
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Write what passes to this pcapng file.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,

    /// End after this time, such as 10s; otherwise with Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    how_long: Option<Duration>,

    /// Probability that the cable between host and device loses a frame, in each direction.
    #[arg(long, default_value_t = 0.0, value_name = "0..0.5", value_parser = probability)]
    loss: f64,

    /// Worker threads of the runtime.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if (0.0..=0.5).contains(&p) => Ok(p),
        _ => Err("not a number from 0 to 0.5".into()),
    }
}

/// The host, and what it lives in.
struct Site {
    host: Host,
    _tap: TapPort,
    capture: Option<Capture>,
}

/// Runs `serve` on the host, with the port to listen on: for as long as the command line says.
pub(crate) fn main<F>(name: &str, default_port: u16, serve: impl FnOnce(u16) -> F) -> ExitCode
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let args = Args::parse();
    let result = (|| {
        let runtime = Builder::new_multi_thread().worker_threads(args.workers.into()).enable_all().build()?;
        runtime.block_on(async {
            let site = Site::new(&args)?;
            let port = args.port.unwrap_or(default_port);
            let server = site.host.spawn(serve(port));
            println!("{} port {port} serves {name} behind {}", site.host.addr(), args.tap);
            match args.how_long {
                None => server.await.map_err(io::Error::other)??,
                Some(time) => match wakeline::time::timeout(time, server).await {
                    Ok(ended) => ended.map_err(io::Error::other)??,
                    Err(_elapsed) => {}
                },
            }
            site.end()
        })
    })();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tap_{name}: {error}");
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// The exit code for what can not be served.
const BAD_INPUT: u8 = 2;

impl Site {
    fn new(args: &Args) -> io::Result<Site> {
        let lan = Lan::new();
        let tap = lan.attach(Tap::open(&args.tap)?.link(Netem::new().loss(args.loss)))?;
        let host = lan.host("server").offloads(Offloads::all()).build()?;
        let file = args.capture.as_ref().map(|path| {
            std::fs::File::create(path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        });
        let capture = file.transpose()?.map(|file| lan.capture(file)).transpose()?;
        Ok(Site { host, _tap: tap, capture })
    }

    fn end(self) -> io::Result<()> {
        if let Some(capture) = self.capture {
            let captured = capture.finish()?;
            println!("captured {} frames, {} are missing", captured.frames, captured.dropped);
        }
        Ok(())
    }
}
