//! The loads that are programs of others: `wrk` and `redis-benchmark`.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;
use wakeline_benches::child::Figures;

/// `wrk` counts in seconds.
const WRK_TIME: &str = "1s";
/// How many clients of `redis-benchmark` ask at once; its default.
const CLIENTS: &str = "50";
/// Requests of each kind in a second, and a round of half a second has half of them.
const REQUESTS_PER_S: u64 = 60_000;

/// Asks for `/` through `connections` connections.
///
/// # Errors
/// When `wrk` can not be run, or was answered wrongly.
pub(crate) fn wrk(addr: &str, connections: usize) -> io::Result<Figures> {
    let (connections, url) = (connections.to_string(), format!("http://{addr}/"));
    of_wrk(&run("wrk", &["--threads", "1", "--connections", &connections, "--duration", WRK_TIME, "--latency", &url])?)
}

/// Sets and gets values of 64 bytes under 1,000 keys, `pipeline` requests at once on each connection.
///
/// # Errors
/// When `redis-benchmark` can not be run, or was answered wrongly.
pub(crate) fn redis_benchmark(addr: &str, pipeline: usize, time: Duration) -> io::Result<Figures> {
    let port = addr.rsplit(':').next().unwrap_or_default();
    let pipelined = if pipeline == 1 { 1 } else { 8 };
    let requests = (REQUESTS_PER_S * pipelined) as f64 * time.as_secs_f64();
    let (requests, pipeline) = ((requests as u64).to_string(), pipeline.to_string());
    let args = ["-h", "127.0.0.1", "-p", port, "-c", CLIENTS, "-n", &requests, "-P", &pipeline];
    let mut figures = of_redis(&run(
        "redis-benchmark",
        &[&args[..], &["-d", "64", "-r", "1000", "-t", "set,get", "--csv"]].concat(),
    )?)?;
    figures.set("requests_in_all", 2.0 * requests.parse::<f64>().unwrap_or(f64::NAN));
    Ok(figures)
}

fn run(program: &str, args: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| io::Error::new(error.kind(), format!("{program} can not be run: {error}")))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program}: {}: {said}{why}", output.status)))
}

fn of_wrk(said: &str) -> io::Result<Figures> {
    if let Some(line) = said.lines().find(|line| line.contains("Socket errors") || line.contains("Non-2xx")) {
        return Err(invalid(format!("wrk: {}", line.trim())));
    }
    let field = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let missing = |what: &str| invalid(format!("wrk told no {what}:\n{said}"));
    let rate = field("Requests/sec:").and_then(|text| text.parse().ok()).ok_or_else(|| missing("rate"))?;
    let requests = said.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok());
    let requests = requests.ok_or_else(|| missing("count"))?;
    let p50 = field("50%").and_then(micros).ok_or_else(|| missing("50 %"))?;
    let p99 = field("99%").and_then(micros).ok_or_else(|| missing("99 %"))?;
    let figures = [("rate", rate), ("requests_in_all", requests), ("p50_us", p50), ("p99_us", p99)];
    Ok(figures.into_iter().map(|(name, value): (&str, f64)| (name.to_owned(), value)).collect())
}

/// `1.23ms` in microseconds.
fn micros(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let factor = match &text[unit..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(text[..unit].parse::<f64>().ok()? * factor)
}

fn of_redis(said: &str) -> io::Result<Figures> {
    let rate = |test: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("\"{test}\",\"")))?;
        line.split('"').next()?.parse::<f64>().ok()
    };
    let (Some(set), Some(get)) = (rate("SET"), rate("GET")) else {
        return Err(invalid(format!("redis-benchmark told no rate:\n{said}")));
    };
    // As many of the one as of the other.
    let figures = [("set_per_s", set), ("get_per_s", get), ("rate", 2.0 / (1.0 / set + 1.0 / get))];
    Ok(figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRK: &str = "\
Running 1s test @ http://127.0.0.1:40000/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   634.36us  198.62us   4.11ms   92.06%
    Req/Sec    99.66k     4.09k  104.75k    72.73%
  Latency Distribution
     50%  600.00us
     75%  687.00us
     90%  780.00us
     99%    1.44ms
  109046 requests in 1.10s, 9.36MB read
Requests/sec:  99136.97
Transfer/sec:      8.51MB
";

    #[test]
    fn what_wrk_says_is_understood() {
        let figures = of_wrk(WRK).unwrap();
        let get = |name| figures.get(name).unwrap();
        assert_eq!((get("rate"), get("requests_in_all")), (99_136.97, 109_046.0));
        assert_eq!((get("p50_us"), get("p99_us")), (600.0, 1440.0));
        let wrong = WRK.to_owned() + "  Non-2xx or 3xx responses: 3\n";
        assert!(of_wrk(&wrong).unwrap_err().to_string().contains("responses: 3"));
        assert!(of_wrk("").is_err());
    }

    #[test]
    fn what_redis_benchmark_says_is_understood() {
        let said = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"100.00\",\"0.3\"\n\"GET\",\"300.00\",\"0.3\"\n";
        let figures = of_redis(said).unwrap();
        assert_eq!((figures.get("get_per_s").unwrap(), figures.get("rate").unwrap().round()), (300.0, 150.0));
        assert!(of_redis("\"test\",\"rps\"\n").is_err());
    }
}
