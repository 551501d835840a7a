//! The table, and the JSON line.

use crate::args::{Args, Backend};
use crate::measure::{NetworkCost, Outcome};
use serde_json::json;

fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

fn rps(args: &Args, outcome: &Outcome) -> f64 {
    args.requests() as f64 / outcome.elapsed.as_secs_f64()
}

fn backend(args: &Args) -> &'static str {
    match args.backend {
        Backend::Emulated => "emulated",
        Backend::Os => "os",
    }
}

/// One object per mode. What the operating system's network does not count is null.
pub(crate) fn json(args: &Args, outcome: &Outcome) -> serde_json::Value {
    let quantile = |q| us(outcome.latency_ns.value_at_quantile(q));
    let count = |field: fn(&NetworkCost) -> u64| outcome.network.as_ref().map(field);
    json!({
        "backend": backend(args),
        "mode": outcome.mode,
        "connections": args.connections,
        "requests": args.requests(),
        "bytes": args.requests() * args.size as u64,
        "verified": true,
        "rps": rps(args, outcome).round(),
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
        "p999_us": quantile(0.999),
        "threads": outcome.threads,
        "context_switches": outcome.context_switches,
        "wakeups": count(|n| n.wakeups),
        "irqs": count(|n| n.irqs),
        "napi_polls": count(|n| n.napi_polls),
        "packets": count(|n| n.packets),
        "drops": count(|n| n.drops),
        "seed": args.seed,
    })
}

pub(crate) fn table(args: &Args, outcomes: &[Outcome]) {
    let bytes = args.requests() * args.size as u64;
    println!(
        "{} network, {} connections, {} requests of {} bytes; {bytes} bytes came back, every one of them verified",
        backend(args),
        args.connections,
        args.requests(),
        args.size,
    );
    println!(
        "{:<9} {:>11} {:>9} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "mode",
        "requests/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "threads",
        "switches",
        "wakeups",
        "irqs",
        "polls",
        "packets",
        "pkt/poll",
        "drops"
    );
    for outcome in outcomes {
        let quantile = |q| us(outcome.latency_ns.value_at_quantile(q));
        print!(
            "{:<9} {:>11.0} {:>9.1} {:>9.1} {:>9.1} {:>8} {:>9}",
            outcome.mode,
            rps(args, outcome),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            outcome.threads,
            outcome.context_switches,
        );
        match &outcome.network {
            Some(n) => println!(
                " {:>9} {:>9} {:>9} {:>9} {:>7.2} {:>7}",
                n.wakeups,
                n.irqs,
                n.napi_polls,
                n.packets,
                n.packets as f64 / n.napi_polls.max(1) as f64,
                n.drops
            ),
            None => println!(" {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}", "-", "-", "-", "-", "-", "-"),
        }
    }
}
